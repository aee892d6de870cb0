"""What a phase does to DNS and client ports, and which may follow which."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.unit.core.scene import MAIL, SERVICES, Scene, imap_and_smtp, policy_of

from mailward.controller.core.phases import (
    EFFECTS,
    TRANSITIONS,
    desired_rrsets,
    diagram,
    may_follow,
    port_map,
)
from mailward.model.dns import RRset
from mailward.model.fencing import CLOSED, OPEN, PortKind
from mailward.model.policy import Endpoint
from mailward.model.state import Phase


def scene_with(policy_endpoints: tuple[Endpoint, ...] = (), **phases: Phase) -> Scene:
    scene = Scene(policy_of(endpoints=policy_endpoints))
    for node, phase in phases.items():
        for endpoint in scene.policy.endpoints:
            scene.put_phase(node, phase, endpoint=endpoint.name)
    return scene


def test_every_phase_has_effects_and_transitions() -> None:
    assert set(EFFECTS) == set(Phase)
    assert set(TRANSITIONS) == set(Phase)


def test_only_what_is_open_is_published() -> None:
    for phase, effects in EFFECTS.items():
        assert not effects.published or effects.ports is PortKind.OPEN, phase


def test_from_out_there_is_no_way_but_through_rejoining() -> None:
    """I12."""
    assert TRANSITIONS[Phase.OUT] == (Phase.REJOINING,)
    ways_in = [phase for phase, follow in TRANSITIONS.items() if Phase.IN_SERVICE in follow]
    assert Phase.OUT not in ways_in


def test_every_phase_can_be_reached_and_left() -> None:
    assert {after for follow in TRANSITIONS.values() for after in follow} == set(Phase)
    assert all(TRANSITIONS.values())


def test_what_is_new_starts_in_service_standing_by_or_out() -> None:
    starts = [phase for phase in Phase if may_follow(None, phase)]
    assert starts == [Phase.IN_SERVICE, Phase.STANDBY, Phase.OUT]


def test_a_phase_may_be_recorded_again() -> None:
    assert all(may_follow(phase, phase) for phase in Phase)


def test_the_diagram_is_as_kept(golden: Callable[[str, str], None]) -> None:
    golden("phases.mermaid", diagram() + "\n")


def test_two_nodes_in_service_are_published_with_both_families() -> None:
    scene = scene_with(a=Phase.IN_SERVICE, b=Phase.IN_SERVICE)
    assert desired_rrsets(scene.policy, scene.state, "ns1") == (
        RRset(f"{MAIL}.", "A", 30, ("192.0.2.10", "192.0.2.11")),
        RRset(f"{MAIL}.", "AAAA", 30, ("2001:db8::10", "2001:db8::11")),
    )


@pytest.mark.parametrize("phase", [p for p in Phase if not EFFECTS[p].published])
def test_a_node_that_does_not_serve_is_not_published(phase: Phase) -> None:
    scene = scene_with(a=phase, b=Phase.IN_SERVICE)
    values = [v for r in desired_rrsets(scene.policy, scene.state, "ns1") for v in r.values]
    assert values == ["192.0.2.11", "2001:db8::11"]


def test_one_address_family_may_become_empty_and_is_then_to_be_deleted() -> None:
    scene = scene_with(a=Phase.OUT, b=Phase.IN_SERVICE)
    a, b = scene.policy.nodes
    policy = replace(scene.policy, nodes=(a, replace(b, addresses=("192.0.2.11",))))
    assert desired_rrsets(policy, scene.state, "ns1") == (
        RRset(f"{MAIL}.", "A", 30, ("192.0.2.11",)),
        RRset(f"{MAIL}.", "AAAA", 30, ()),
    )


def test_a_name_without_any_address_is_never_wanted() -> None:
    """Only a change of the configuration can leave nobody in service; the last answer is better."""
    scene = scene_with(a=Phase.OUT, b=Phase.OUT)
    assert all(rrset.values for rrset in desired_rrsets(scene.policy, scene.state, "ns1"))


def test_a_target_gets_the_endpoints_it_carries_and_no_others() -> None:
    here = Endpoint("here.test", ("imaps",), ("a",), 5, ("ns1", "ns2"))
    there = Endpoint("there.test", ("imaps",), ("b",), 7, ("ns2",))
    scene = scene_with((here, there))
    names = {t: [r.name for r in desired_rrsets(scene.policy, scene.state, t)] for t in ("ns1", "ns2", "ns3")}
    assert names == {
        "ns1": ["here.test."] * 2,
        "ns2": ["here.test."] * 2 + ["there.test."] * 2,
        "ns3": [],
    }


def test_a_port_map_always_names_every_service() -> None:
    scene = scene_with(a=Phase.OUT, b=Phase.IN_SERVICE)
    everything = {service.name for service in SERVICES}
    assert set(port_map(scene.policy, scene.state, "a")) == everything
    assert set(port_map(scene.policy, scene.state, "b")) == everything


def test_a_service_shared_by_two_endpoints_stays_open_while_one_of_them_needs_it() -> None:
    scene = scene_with(imap_and_smtp(), a=Phase.IN_SERVICE, b=Phase.IN_SERVICE)
    scene.put_phase("a", Phase.OUT, endpoint=MAIL)
    ports = port_map(scene.policy, scene.state, "a")
    assert ports == {"smtp": OPEN, "submission": CLOSED, "imaps": OPEN}
    scene.put_phase("a", Phase.OUT, endpoint="imap.example.test")
    assert set(port_map(scene.policy, scene.state, "a").values()) == {CLOSED}


def test_a_service_that_no_endpoint_promises_is_closed_when_all_of_the_node_is() -> None:
    """25 behind an MX record: DNS cannot move it, the port can."""
    scene = scene_with(imap_and_smtp(), a=Phase.OUT, b=Phase.IN_SERVICE)
    assert port_map(scene.policy, scene.state, "a")["smtp"] == CLOSED
    assert port_map(scene.policy, scene.state, "b")["smtp"] == OPEN


def test_the_ports_of_a_node_behind_no_endpoint_are_not_closed() -> None:
    alone = Endpoint(MAIL, ("imaps",), ("a",), 5, ("ns1",))
    scene = scene_with((alone,), a=Phase.IN_SERVICE)
    assert set(port_map(scene.policy, scene.state, "b").values()) == {OPEN}


def test_what_is_not_recorded_yet_counts_as_in_service() -> None:
    scene = Scene()
    assert set(port_map(scene.policy, scene.state, "a").values()) == {OPEN}
    assert len(desired_rrsets(scene.policy, scene.state, "ns1")[0].values) == 2
