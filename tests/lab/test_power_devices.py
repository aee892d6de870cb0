"""Power switches for real: Debian's fence agents, a simulated BMC over IPMI and one over Redfish.

Each case prints a line of a table: outcome, scope, seconds.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.lab.harness import power, redfish
from tests.lab.harness.engine import Engine, LabError, this_process
from tests.lab.harness.layout import Addresses
from tests.lab.harness.power import Agents, Bmc
from tests.lab.harness.redfish import SYSTEMS_URI, Redfish
from tests.lab.harness.table import case

from mailward.fencing.agent.device import Device
from mailward.fencing.agent.metadata import parse
from mailward.fencing.agent.options import mistakes
from mailward.fencing.agent.program import Agent
from mailward.model.fencing import FenceOutcome, Power, Scope

CONFIRMED, UNKNOWN, FAILED = FenceOutcome.CONFIRMED, FenceOutcome.UNKNOWN, FenceOutcome.FAILED
SWITCHED = (CONFIRMED, Scope.POWER)
IN_DOUBT = (UNKNOWN, Scope.NONE)


@dataclass(frozen=True)
class Place:
    """Where agents run and a BMC answers."""

    net: Addresses
    agents: Agents
    bmc: Bmc


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    try:
        engine = Engine(f"power-{os.getpid()}", this_process())
        engine.require_images()
    except LabError as error:
        pytest.fail(f"the lab cannot run: {error}", pytrace=False)
    engine.remove_leftovers()
    try:
        net = engine.create_network()
        yield Place(net, *power.start(engine, net))
    finally:
        engine.remove_all()


@pytest.fixture
def bmc(place: Place) -> Bmc:
    place.bmc.mend()
    return place.bmc


@pytest.fixture
def ipmi(place: Place, bmc: Bmc, tmp_path: Path) -> Callable[..., Device]:
    """`ipmi(timeout_s, password, **options)`: the BMC by fence_ipmilan; an option of None is not said."""
    program = place.agents.program("fence_ipmilan", tmp_path)

    def make(timeout_s: float = 40.0, password: str = power.PASSWORD, **options: str | None) -> Device:
        said = {"ip": bmc.address, "username": power.USER, "lanplus": "true", "cipher": "3", **options}
        told = {name: value for name, value in said.items() if value is not None}
        return Device("mail-a", Agent(program, told, {"password": password}), timeout_s=timeout_s)

    return make


@pytest.fixture
def service(place: Place, tmp_path: Path) -> Iterator[Redfish]:
    with redfish.redfish(tmp_path, place.net.gateway) as running:
        yield running


@pytest.fixture
def over_redfish(place: Place, service: Redfish, tmp_path: Path) -> Callable[..., Device]:
    """The same for the emulator, by fence_redfish."""
    program = place.agents.program("fence_redfish", tmp_path)

    def make(timeout_s: float = 40.0, password: str = redfish.PASSWORD, **options: str | None) -> Device:
        said = {
            "ip": service.address, "ipport": str(service.port), "username": redfish.USER,
            "systems_uri": SYSTEMS_URI, "ssl_insecure": "true", **options,
        }  # fmt: skip
        told = {name: value for name, value in said.items() if value is not None}
        return Device("mail-a", Agent(program, told, {"password": password}), timeout_s=timeout_s)

    return make


# fence_ipmilan and ipmi_sim


async def test_ipmi_switches_off_and_on_and_reads(ipmi: Callable[..., Device], bmc: Bmc) -> None:
    device = ipmi()
    assert await device.mistakes() == []
    assert (await case("ipmi: status", device.read(), 10))[0] is Power.ON
    assert (await case("ipmi: off", device.off(), 15))[:2] == SWITCHED
    assert bmc.power == "off"
    assert (await case("ipmi: status of one that is off", device.read(), 10))[0] is Power.OFF
    assert (await case("ipmi: off, and it is off already", device.off(), 15))[:2] == SWITCHED
    assert (await case("ipmi: on", device.on(), 15))[:2] == (CONFIRMED, Scope.NONE)
    assert bmc.power == "on"


async def test_ipmi_waits_for_a_machine_that_is_slow(ipmi: Callable[..., Device], bmc: Bmc) -> None:
    bmc.shell("echo 6 >/power/after")
    assert (await case("ipmi: off, 6 s late", ipmi().off(), 30))[:2] == SWITCHED
    assert bmc.power == "off"


async def test_ipmi_waits_longer_than_its_agent(ipmi: Callable[..., Device], bmc: Bmc) -> None:
    """The agent says after two seconds that it failed; the machine is off four seconds later."""
    bmc.shell("echo 6 >/power/after")
    late = await case("ipmi: off, 6 s late, agent gives up after 2", ipmi(power_timeout="2").off(), 30)
    assert late[:2] == SWITCHED
    assert "exit code 1" in str(late[2])


async def test_ipmi_that_obeys_nobody_is_in_doubt(ipmi: Callable[..., Device], bmc: Bmc) -> None:
    bmc.shell("touch /power/stuck")
    told = await case("ipmi: off, machine does not obey", ipmi(12, power_timeout="2").off(), 14)
    assert told[:2] == IN_DOUBT
    assert "it last read on" in str(told[2])


@pytest.mark.long
async def test_ipmi_without_a_bmc_is_in_doubt(ipmi: Callable[..., Device], bmc: Bmc) -> None:
    device = ipmi()
    await asyncio.to_thread(bmc.container.kill)
    assert (await case("ipmi: status, BMC dead", device.read(), 41))[0] is Power.UNKNOWN
    assert (await case("ipmi: off, BMC dead", device.off(), 42))[:2] == IN_DOUBT


async def test_ipmi_with_nobody_there_is_in_doubt(ipmi: Callable[..., Device]) -> None:
    """The agent's own times may be shorter than its 20 s."""
    device = ipmi(ipport="624", power_timeout="5", login_timeout="3")
    assert (await case("ipmi: off, nothing listens, 5 s", device.off(), 20))[:2] == IN_DOUBT


async def test_a_frozen_bmc_is_in_doubt_in_time_and_nothing_goes_on(
    ipmi: Callable[..., Device], bmc: Bmc, place: Place
) -> None:
    """What was begun ends at the deadline: a BMC that comes back is not switched any more."""
    device = ipmi(8)
    assert await device.mistakes() == []
    with bmc.frozen():
        off = asyncio.create_task(case("ipmi: off, BMC frozen, 8 s", device.off(), 12))
        await asyncio.sleep(3)
        assert any("ipmitool" in line for line in place.agents.running())
        assert (await off)[:2] == IN_DOUBT
        assert place.agents.running() == []
        assert (await case("ipmi: status, BMC frozen, 8 s", device.read(), 12))[0] is Power.UNKNOWN
    await asyncio.sleep(3)
    assert bmc.power == "on"
    assert (await case("ipmi: off, after that", device.off(), 15))[:2] == SWITCHED


async def test_ipmi_with_a_wrong_password_is_in_doubt(ipmi: Callable[..., Device], bmc: Bmc) -> None:
    told = await case("ipmi: off, wrong password", ipmi(12, password="not-the-secret").off(), 14)
    assert told[:2] == IN_DOUBT
    assert "not-the-secret" not in str(told)
    assert bmc.power == "on"


async def test_ipmi_without_a_cipher(ipmi: Callable[..., Device]) -> None:
    await case("ipmi: status, no cipher said", ipmi(cipher=None).read(), 41)


async def test_options_that_are_wrong_are_refused_before_anything_is_done(
    ipmi: Callable[..., Device], bmc: Bmc
) -> None:
    for wrong in (
        {"lanpls": "1"},
        {"ip": None},
        {"ipport": "x"},
        {"privlvl": "root"},
        {"missing_as_off": "1"},
    ):
        device = ipmi(**wrong)
        print("\n|", *await device.mistakes(), end="")
        told = await case(f"ipmi: off, {wrong}", device.off(), 10)
        assert told[:2] == (FAILED, Scope.NONE)
    assert bmc.power == "on"


# fence_redfish and sushy-tools


async def test_redfish_switches_off_and_on_and_reads(over_redfish: Callable[..., Device]) -> None:
    device = over_redfish()
    assert await device.mistakes() == []
    assert (await case("redfish: status", device.read(), 10))[0] is Power.ON
    assert (await case("redfish: off (1 to 11 s late)", device.off(), 30))[:2] == SWITCHED
    assert (await case("redfish: status of one that is off", device.read(), 10))[0] is Power.OFF
    assert (await case("redfish: off, and it is off already", device.off(), 15))[:2] == SWITCHED
    assert (await case("redfish: on (1 to 11 s late)", device.on(), 30))[:2] == (CONFIRMED, Scope.NONE)


async def test_redfish_waits_for_a_service_that_is_slow(
    over_redfish: Callable[..., Device], service: Redfish
) -> None:
    device = over_redfish()
    assert await device.mistakes() == []
    service.freeze()
    asyncio.get_running_loop().call_later(4, service.thaw)
    assert (await case("redfish: off, silent for 4 s", device.off(), 35))[:2] == SWITCHED


async def test_a_frozen_redfish_is_in_doubt_in_time(
    over_redfish: Callable[..., Device], service: Redfish, place: Place
) -> None:
    """The agent itself would wait for ever."""
    device = over_redfish(8)
    assert await device.mistakes() == []
    service.freeze()
    assert (await case("redfish: off, service frozen, 8 s", device.off(), 12))[:2] == IN_DOUBT
    assert place.agents.running() == []
    service.thaw()


async def test_redfish_without_a_service_is_in_doubt(
    over_redfish: Callable[..., Device], service: Redfish
) -> None:
    service.kill()
    assert (await case("redfish: off, service dead", over_redfish().off(), 15))[:2] == IN_DOUBT


async def test_redfish_with_a_wrong_password_is_in_doubt(over_redfish: Callable[..., Device]) -> None:
    device = over_redfish(12, password="not-the-secret")
    told = await case("redfish: off, wrong password", device.off(), 14)
    assert told[:2] == IN_DOUBT
    assert "not-the-secret" not in str(told)
    assert (await over_redfish().read()).power is Power.ON


@pytest.mark.parametrize("said", [None, "false"])
async def test_a_certificate_nobody_knows_is_not_believed(
    over_redfish: Callable[..., Device], said: str | None
) -> None:
    """Told `ssl_insecure=0` in so many words, the agent would believe it."""
    told = await case(
        f"redfish: off, ssl_insecure {said or 'not said'}", over_redfish(ssl_insecure=said).off(), 15
    )
    assert told[:2] == IN_DOUBT
    assert (await over_redfish().read()).power is Power.ON


# the whole package


def test_every_agent_of_the_package_says_what_can_be_read(place: Place) -> None:
    loop = (
        "cd /usr/sbin; for a in fence_*; do"
        " echo $a $(timeout 20 ./$a -o metadata </dev/null 2>/dev/null | base64 -w0); done"
    )
    said = dict((line + " ").split(" ", 1) for line in place.agents.shell(loop).splitlines())
    assert len(said) > 70
    switches = []
    for name, content in said.items():
        if name != "fence_ack_manual":  # a person, not a program
            metadata = parse(base64.b64decode(content.strip()))
            wrong = mistakes(name, metadata, {}, {})
            switches += [name] if not any(text.startswith("program: ") for text in wrong) else []
    print(f"\n{len(switches)} of {len(said)} can be a switch; others: {sorted(set(said) - set(switches))}")
    assert len(switches) > 70
