"""Clusters that are simulated, as policies; scenarios name them."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from mailward.model.policy import Automation, Deployment, Endpoint, Node, Observer, Policy, Rules, Service

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


CLUSTERS: Mapping[str, Callable[[], Policy]] = {
    "two-sites": two_sites_and_a_witness,
    "one-controller": one_controller,
    "pair": pair_without_a_witness,
    "three-nodes": three_nodes_two_zones,
}
