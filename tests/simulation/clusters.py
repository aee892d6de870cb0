"""Clusters that are simulated, as policies."""

from mailward.model.policy import Automation, Deployment, Endpoint, Node, Observer, Policy, Rules, Service

ENDPOINT = "mail.example.test"


def two_sites_and_a_witness() -> Policy:
    """`hybrid`: two nodes, a controller beside each and one alone."""
    names = ("mail-a", "mail-b")
    return Policy(
        cluster="sim",
        deployment=Deployment.HYBRID,
        automation=Automation.ACT,
        services=(Service("submission", 587, "submission"), Service("imaps", 993, "imaps")),
        nodes=tuple(Node(name, f"site-{name[-1]}", (f"192.0.2.{10 + i}",)) for i, name in enumerate(names)),
        endpoints=(Endpoint(ENDPOINT, ("submission", "imaps"), names, 5, ("primary",)),),
        observers=(*(Observer(n, f"site-{n[-1]}") for n in names), Observer("witness", "site-w")),
        targets=("primary",),
        rules=Rules(),
        digest="sim",
    )
