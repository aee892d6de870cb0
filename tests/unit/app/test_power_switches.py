"""Power switches of the configuration: made as it says, read by `--live`, and refused at start when wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.configs.good import FILES, GOOD
from tests.unit.fencing.agents import OBEDIENT, Scripted, scripted, xml

import mailward.app.commands.live_check as live
from mailward.app.commands.live_check import Tried
from mailward.app.compose import build, devices_of, power_mistakes
from mailward.app.daemon import Daemon
from mailward.app.peering import may_ever_act
from mailward.configs.loading import load
from mailward.configs.schema import Config
from mailward.controller.clock import SystemClock
from mailward.model.errors import ConfigError, MailwardError
from mailward.model.fencing import FenceOutcome, Power

PLANTED = "planted-bmc"


@pytest.fixture
def agent(tmp_path: Path) -> Scripted:
    (tmp_path / "agent").mkdir()
    return scripted(tmp_path / "agent")


@pytest.fixture
def loaded(tmp_path: Path, agent: Scripted) -> Callable[..., Config]:
    """`loaded(options, more)`: the good file with an agent for both nodes, and `more` at its end."""

    def run(options: str = "{ip: 192.0.2.9}", more: str = "") -> Config:
        for name, content in {**FILES, "bmc": PLANTED}.items():
            (tmp_path / name).write_text(content)
            (tmp_path / name).chmod(0o600)
        section = f"{{program: {agent.program}, timeout_s: 7, secrets: {{password: {{secret_file: bmc}}}}"
        text = GOOD
        for node, at in (("mail-a", "192.0.2.9"), ("mail-b", "192.0.2.8")):
            told = f"{section}, options: {options.replace('192.0.2.9', at)}}}"
            text = text.replace(f"    hostname: {node}", f"    agent: {told}\n    hostname: {node}")
        local = (
            f"coordination: {{local: {{directory: {tmp_path}/state}}}}\napi: {{socket: {tmp_path}/socket}}\n"
        )
        (tmp_path / "mailward.yaml").write_text(text + local + more)
        return load(tmp_path / "mailward.yaml", {})

    return run


async def test_a_device_is_told_what_the_file_says(loaded: Callable[..., Config], agent: Scripted) -> None:
    parts = build(loaded("{ip: 192.0.2.9, ssl_insecure: no, lanplus: true}"), "0123456789ab", SystemClock())
    assert list(parts.devices) == ["mail-a", "mail-b"]
    device = parts.devices["mail-a"]
    assert (device.node, device._timeout_s) == ("mail-a", 7)
    assert (await device.off()).outcome is FenceOutcome.CONFIRMED
    assert agent.calls[0] == f"action=off\nip=192.0.2.9\nlanplus=1\npassword={PLANTED}\n"
    await parts.close()


async def test_the_mistakes_of_every_node_are_told_at_once(loaded: Callable[..., Config]) -> None:
    assert await power_mistakes(devices_of(loaded())) == ()
    said = await power_mistakes(devices_of(loaded("{ipp: 192.0.2.9}")))
    assert [text.split(": ")[0] for text in said] == [
        f"nodes.{node}.agent.options{option}" for node in ("mail-a", "mail-b") for option in (".ipp", "")
    ]


async def test_a_daemon_that_may_lead_refuses_to_start_with_wrong_options(
    loaded: Callable[..., Config], tmp_path: Path, agent: Scripted
) -> None:
    with pytest.raises(ConfigError) as caught:
        await Daemon(loaded("{ipp: 192.0.2.9}")).run()
    assert len(caught.value.problems) == 4
    assert caught.value.problems[0] == (
        f"nodes.mail-a.agent.options.ipp: {agent.program} has no option ipp: did you mean ip?"
    )
    assert not (tmp_path / "socket").exists()


async def test_a_daemon_that_may_lead_refuses_to_start_without_the_program(
    loaded: Callable[..., Config], agent: Scripted
) -> None:
    config = loaded()
    Path(agent.program).unlink()
    with pytest.raises(ConfigError, match="is not there: install the package fence-agents"):
        await Daemon(config).run()


@pytest.mark.parametrize(("more", "leads"), [("", True), ("observers: [{name: a, node: mail-a}]\n", False)])
async def test_a_daemon_that_never_leads_needs_no_agent(
    loaded: Callable[..., Config], more: str, leads: bool
) -> None:
    """It then fails for want of a store, which is looked at later."""
    config = loaded("{ipp: 192.0.2.9}", more)
    assert may_ever_act(config) is leads
    with pytest.raises(MailwardError) as caught:
        await Daemon(config).run()
    assert isinstance(caught.value, ConfigError) is leads


def test_with_zookeeper_only_leader_never_keeps_a_daemon_from_leading(tmp_path: Path) -> None:
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o600)
    servers = "coordination: {zookeeper: {servers: ['zk:2181']}}\n"
    observers = "observers: [{name: a, node: mail-a}, {name: b, leader: never}]\nobserver: "
    found = {}
    for name in ("a", "b"):
        (tmp_path / "mailward.yaml").write_text(f"{GOOD}{servers}{observers}{name}\n")
        found[name] = may_ever_act(load(tmp_path / "mailward.yaml", {}))
    assert found == {"a": True, "b": False}


async def test_a_daemon_switches_with_what_it_has_checked(
    loaded: Callable[..., Config], agent: Scripted
) -> None:
    """So that a failover does not begin with asking the program what it can do."""
    daemon = Daemon(loaded())
    with pytest.raises(MailwardError):
        await daemon.run()
    scripted(agent.folder, OBEDIENT, "!exit 1")
    parts = daemon._build("0123456789ab")
    assert (await parts.devices["mail-a"].off()).outcome is FenceOutcome.CONFIRMED
    await parts.close()


# config check --live


async def test_a_switch_that_can_be_read_works(loaded: Callable[..., Config], agent: Scripted) -> None:
    device = devices_of(loaded())["mail-a"]
    for power in (Power.ON, Power.OFF):
        agent.power(power.value)
        tried = await live._power("mail-a power", device)
        assert tried == Tried("mail-a power", True, f"{agent.program} reads {power}; its options are right")
    assert {call.splitlines()[0] for call in agent.calls} == {"action=status"}


async def test_a_switch_that_cannot_be_read_does_not_work(
    loaded: Callable[..., Config], agent: Scripted
) -> None:
    scripted(agent.folder, "*) echo login failed for $(sed -n s/^password=//p $call); exit 1;;")
    tried = await live._power("mail-a power", devices_of(loaded())["mail-a"])
    assert (tried.works, tried.detail) == (
        False, "status: exit code 1: login failed for ***",
    )  # fmt: skip


async def test_a_switch_that_is_told_something_wrong_does_not_work(
    loaded: Callable[..., Config], agent: Scripted
) -> None:
    scripted(agent.folder, OBEDIENT, xml(("on", "off", "metadata")))
    tried = await live._power("mail-a power", devices_of(loaded("{ipp: 192.0.2.9}"))["mail-a"])
    assert not tried.works
    assert len(tried.detail.split("; ")) == 3
    assert agent.calls == []


async def test_every_switch_is_tried(loaded: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    config = loaded()
    parts = build(config, live.NOBODY, SystemClock())
    tries = live._tries(config, parts, live.NOBODY, live.Hosts())
    assert [what for what, _ in tries if what.endswith("power")] == ["mail-a power", "mail-b power"]
    for _, trying in tries:
        trying.close()  # type: ignore[attr-defined]
    await parts.close()


async def test_checking_the_file_alone_starts_nothing(loaded: Callable[..., Config], agent: Scripted) -> None:
    scripted(agent.folder, OBEDIENT, "!echo . >asked; exit 1")
    loaded("{ipp: 192.0.2.9}")
    assert not (agent.folder / "asked").exists()
