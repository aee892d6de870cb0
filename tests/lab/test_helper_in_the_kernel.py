"""What `mailward-node` does to real packets: the scenes of `helper_scene`, in a container's namespaces."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from tests.lab.harness.engine import Engine, LabError, this_process

from mailward.fencing.node.build import build

BACKENDS = ("nftables", "iptables", "iptables-legacy")
OUTSIDERS = ("client smtp", "client imaps", "client imaps v6", "peer imaps")
SPARED = (
    "client replication",
    "peer smtp",
    "peer smtp v6",
    "loopback imaps",
    "loopback imaps v6",
    "own address imaps",
)

Scene = Callable[..., Any]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Plays a scene and returns what happened."""
    folder = tmp_path_factory.mktemp("helper")
    build(folder / "mailward-node.pyz")
    (folder / "helper_scene.py").write_bytes((Path(__file__).parent / "helper_scene.py").read_bytes())
    try:
        engine = Engine(f"helper-{os.getpid()}", this_process())
        engine.require_images()
    except LabError as error:
        pytest.fail(f"the lab cannot run: {error}", pytrace=False)
    engine.remove_leftovers()
    container = engine.run(
        "scene",
        "mailward-lab/mailnode",
        volumes={str(folder): "/helper"},
        command="sleep infinity",
        cap_add=["NET_ADMIN", "SYS_ADMIN"],  # namespaces, and a small disk to fill
        security_opt=["seccomp=unconfined", "apparmor=unconfined"],
    )

    def play(name: str, backend: str = "nftables") -> Any:
        code, output = container.exec_run(["python3", "/helper/helper_scene.py", name, backend], demux=True)
        out, err = ((stream or b"").decode() for stream in cast(tuple[bytes | None, ...], output))
        assert code == 0, err
        return json.loads(out)

    yield play
    engine.remove_all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_closing_cuts_clients_even_idle_ones_and_spares_the_rest(scene: Scene, backend: str) -> None:
    seen = scene("close_and_open", backend)
    print(f"{backend}: hello, order, answer took {seen['took_s'] * 1000:.0f} ms")
    assert seen["firewall"] == backend.partition("-")[0]
    assert (seen["answer"]["ok"], seen["answer"]["persisted"], seen["applied"]) == (True, True, True)
    cut = {name for name, heard in seen["idle"].items() if heard == "reset"}
    assert cut == set(OUTSIDERS)
    assert seen["after"] == dict.fromkeys(["client replication", "peer smtp", "loopback imaps"], "heard")
    assert seen["closed"] == dict.fromkeys(OUTSIDERS, "refused") | dict.fromkeys(SPARED, "accepted")
    assert seen["opened"]
    assert set(seen["open"].values()) == {"accepted"}


@pytest.mark.parametrize("backend", BACKENDS)
def test_where_sockets_cannot_be_aborted_the_next_packet_of_either_side_ends_the_session(
    scene: Scene, backend: str
) -> None:
    assert scene("without_ss", backend) == {
        "quiet": "nothing",
        "client speaks": "reset",
        "sockets left where the server spoke": "",
    }


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_recorded_map_is_restored_as_at_boot(scene: Scene, backend: str) -> None:
    seen = scene("restore", backend)
    assert seen["first"] == "no order is recorded: all ports are left open"
    assert set(seen["between"].values()) == {"accepted"}
    assert seen["second"] == "restored imaps closed, smtp open"
    refused = {name for name, reached in seen["after"].items() if reached == "refused"}
    assert refused == {"client imaps", "client imaps v6", "peer imaps"}


def test_on_a_full_disk_closing_is_obeyed_and_opening_is_not(scene: Scene) -> None:
    seen = scene("disk_full")
    assert (seen["closed"]["ok"], seen["closed"]["persisted"], seen["reached"]) == (True, False, "refused")
    assert (seen["opened"]["error"], seen["still"]) == ("not-persisted", "refused")
    assert "No space left on device" in seen["opened"]["message"]
    assert seen["stale"]["error"] == "stale"
    assert (seen["after"], seen["open"]) == (True, "accepted")


def test_other_firewalls_neither_undo_nor_hide_the_refusal_and_a_flush_is_noticed(scene: Scene) -> None:
    seen = scene("other_tables")
    assert {seen["closed"][name] for name in OUTSIDERS} == {"refused"}
    assert (seen["before"], seen["flushed"], seen["reached"]) == (True, False, "accepted")
    assert (seen["restored"], seen["after"]) == (True, "refused")


def test_of_orders_given_at_once_the_highest_is_what_the_kernel_shows(scene: Scene) -> None:
    assert scene("together") == {
        "errors": ["", "stale"],
        "token": "abcdef01.1.24",
        "ports": {"smtp": "closed", "imaps": "closed"},
        "applied": True,
    }


def test_killed_at_any_moment_it_neither_damages_its_memory_nor_forgets(scene: Scene) -> None:
    seen = scene("killed")
    assert seen["highest"] > 0
    assert (seen["damage"], seen["back"], seen["applied"]) == ([""], 0, True)


@pytest.mark.parametrize("backend", BACKENDS)
def test_remove_leaves_no_trace_in_the_firewall_and_keeps_the_state(scene: Scene, backend: str) -> None:
    seen = scene("remove", backend)
    assert "MAILWARD" not in seen["rules"].upper()
    assert set(seen["open"].values()) == {"accepted"}
    assert seen["restored"] == "restored imaps closed, smtp closed"


def test_root_gets_the_ports_open_with_state_and_configuration_both_gone(scene: Scene) -> None:
    seen = scene("by_hand")
    assert seen["reached"] == "accepted"
    assert "could not be recorded" in seen["said"]
    assert ("not survive a reboot" in seen["closing"], seen["closed"]) == (True, "refused")


LEASE_S = 3.0


def test_a_lease_holds_under_renewals_and_the_kernel_ends_it_without_one(scene: Scene) -> None:
    seen = scene("lease")
    during, ended_s = seen["during"], seen["ended_s"]
    print(f"40 renewals: {during}; ended after the last one: {ended_s}")
    assert (seen["answer"], seen["renewals"]) == (True, ["obeyed"])
    assert (during["ended"], seen["left_s"]) == ([], 2)
    assert during["longest_s"] < 0.5
    assert min(during["echoes"], during["opened"]) > 100
    for what in ("reset", "refused"):  # the session, and whoever comes anew
        since_answered_s, since_sent_s = ended_s[what]
        assert since_sent_s >= LEASE_S - 0.01
        assert since_answered_s <= LEASE_S + 0.75  # a packet on its way is said again after 0.2 s
    assert seen["interruptions"] == []
    spared = ("client replication", "peer smtp", "loopback imaps")
    assert set(seen["silent"].values()) == {"nothing"}  # the kernel speaks up at the next packet only
    assert seen["after"] == dict.fromkeys(
        ("client smtp", "client imaps", "client imaps v6", "peer imaps"), "reset"
    ) | (dict.fromkeys(spared, "heard"))
    assert seen["late"] == ["lapsed"]
    assert seen["reached"] == dict.fromkeys(OUTSIDERS, "refused") | dict.fromkeys(SPARED, "accepted")
    assert seen["status"] == [True, {"lease_s": LEASE_S, "left_s": 0}, {"smtp": "open", "imaps": "open"}]
    assert (seen["opened"], set(seen["open"].values())) == (True, {"accepted"})


def test_a_renewal_at_the_end_of_its_lease_is_in_time_or_in_vain(scene: Scene) -> None:
    seen = scene("lease_at_its_end")
    print(f"lapsed: {seen['lapsed of 20']} of 20")
    assert seen["obeyed"] in ([], ["accepted, then obeyed"])
    assert seen["lapsed"] in ([], ["refused, then lapsed"])


def test_a_leased_map_is_restored_refused_and_left_alone_while_it_runs(scene: Scene) -> None:
    seen = scene("lease_restored")
    assert (seen["running"], seen["undisturbed"]) == ("restored imaps open, smtp closed", "accepted")
    assert seen["flushed"] == ["firewall", False, None]
    assert "was leased, and is refused until the controller's next order" in seen["booted"]
    assert {seen["closed"][name] for name in OUTSIDERS} == {"refused"}
    assert {seen["closed"][name] for name in SPARED} == {"accepted"}
    assert (seen["lease"], seen["renewal"], seen["still"]) == (
        {"lease_s": 60, "left_s": 0},
        "lapsed",
        "refused",
    )
    assert (seen["ordered"], seen["open"]) == (True, "accepted")


@pytest.mark.parametrize("backend", ["iptables", "iptables-legacy"])
def test_iptables_takes_no_lease_and_closes_all_the_same(scene: Scene, backend: str) -> None:
    assert scene("lease_without_nftables", backend) == {
        "refused": ["unsupported", None],
        "closing": True,
        "closed": "refused",
    }
