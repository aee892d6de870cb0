"""Clusters that are simulated, as policies; scenarios name them."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from mailward.model.policy import (
    Automation,
    Deployment,
    Endpoint,
    Failback,
    Node,
    Observer,
    Policy,
    Rules,
    Rung,
    RungKind,
    Service,
)

ENDPOINT = "mail.example.test"
SERVICES = (Service("submission", 587, "submission"), Service("imaps", 993, "imaps"))


def two_sites_and_a_witness() -> Policy:
    """`hybrid`: two nodes, a controller beside each and one alone."""
    names = ("mail-a", "mail-b")
    return Policy(
        cluster="sim",
        deployment=Deployment.HYBRID,
        automation=Automation.ACT,
        services=SERVICES,
        nodes=tuple(Node(name, f"site-{name[-1]}", (f"192.0.2.{10 + i}",)) for i, name in enumerate(names)),
        endpoints=(Endpoint(ENDPOINT, ("submission", "imaps"), names, 5, ("primary",)),),
        observers=(*(Observer(n, f"site-{n[-1]}") for n in names), Observer("witness", "site-w")),
        targets=("primary",),
        rules=Rules(),
        digest="sim",
    )


def one_controller() -> Policy:
    """The same with one controller on a third host: version 0.1 as it is installed."""
    return replace(two_sites_and_a_witness(), observers=(Observer("witness", "site-w"),))


def pair_without_a_witness() -> Policy:
    """The same with a controller beside each node and none elsewhere."""
    whole = two_sites_and_a_witness()
    return replace(whole, observers=whole.observers[:2])


def three_nodes_two_zones() -> Policy:
    """Two endpoints that share nodes, on two targets; nobody but the witness could lead alone."""
    names = ("mail-a", "mail-b", "mail-c")
    policy = two_sites_and_a_witness()
    return replace(
        policy,
        nodes=tuple(Node(name, f"site-{name[-1]}", (f"192.0.2.{10 + i}",)) for i, name in enumerate(names)),
        endpoints=(
            Endpoint(ENDPOINT, ("submission", "imaps"), names, 5, ("primary", "second")),
            Endpoint("imap.example.test", ("imaps",), names[:2], 30, ("second",)),
        ),
        observers=(*(Observer(n, f"site-{n[-1]}") for n in names[:2]), Observer("witness", "site-w")),
        targets=("primary", "second"),
    )


def one_serves_one_stands_by() -> Policy:
    """`cluster`: the same hosts, active-passive; each node can be switched off as well."""
    whole = two_sites_and_a_witness()
    ladder = (Rung(RungKind.HELPER, 8.0), Rung(RungKind.AGENT, 20.0))
    nodes = tuple(replace(node, ladder=ladder) for node in whole.nodes)
    return replace(whole, deployment=Deployment.CLUSTER, nodes=nodes)


def without_a_switch() -> Policy:
    """The same, and nobody but a person can switch a node off."""
    whole = one_serves_one_stands_by()
    return replace(whole, nodes=tuple(replace(node, ladder=node.ladder[:1]) for node in whole.nodes))


def two_stand_by() -> Policy:
    """One serves and two stand by, on two zones; the second is to be promoted first."""
    whole, names = one_serves_one_stands_by(), ("mail-a", "mail-b", "mail-c")
    ladder = whole.nodes[0].ladder
    nodes = tuple(
        Node(name, f"site-{name[-1]}", (f"192.0.2.{10 + i}",), priority=int(i == 1), ladder=ladder)
        for i, name in enumerate(names)
    )
    endpoints = (
        Endpoint(ENDPOINT, ("submission", "imaps"), names, 5, ("primary", "second")),
        Endpoint("imap.example.test", ("imaps",), names, 30, ("second",)),
    )
    return replace(whole, nodes=nodes, endpoints=endpoints, targets=("primary", "second"))


def one_is_preferred() -> Policy:
    """Of two nodes that which serves first; a minute after it is fit again, it is to serve again."""
    whole = one_serves_one_stands_by()
    rules = replace(whole.rules, failback=Failback.AUTO, failback_after_s=60.0, takeover_after_s=5.0)
    first, second = whole.nodes
    return replace(whole, rules=rules, nodes=(replace(first, priority=1), second))


def leased() -> Policy:
    """Two nodes and a witness; nobody can switch a node off, and client ports are open for a lease."""
    whole = without_a_switch()
    rules = replace(whole.rules, lease_s=15.0)
    ladder = (*whole.nodes[0].ladder, Rung(RungKind.LEASE, rules.lease_over_s or 0.0))
    return replace(whole, rules=rules, nodes=tuple(replace(node, ladder=ladder) for node in whole.nodes))


def asked(policy: Callable[[], Policy]) -> Callable[[], Policy]:
    """The same, and an order to close a node goes through the store to the daemon beside it first."""

    def made() -> Policy:
        whole, first = policy(), Rung(RungKind.ASK, 8.0)
        return replace(whole, nodes=tuple(replace(n, ladder=(first, *n.ladder)) for n in whole.nodes))

    return made


ACTIVE_PASSIVE: Mapping[str, Callable[[], Policy]] = {
    "active-passive": one_serves_one_stands_by,
    "two-standbys": two_stand_by,
    "no-switch": without_a_switch,
    "leased": leased,
    "asked": asked(one_serves_one_stands_by),
    "asked-leased": asked(leased),
}
CLUSTERS: Mapping[str, Callable[[], Policy]] = {
    "two-sites": two_sites_and_a_witness,
    "one-controller": one_controller,
    "pair": pair_without_a_witness,
    "three-nodes": three_nodes_two_zones,
    **ACTIVE_PASSIVE,
}
