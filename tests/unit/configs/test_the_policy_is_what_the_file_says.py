"""From the file to `model.policy.Policy`, and the digest that names a configuration."""

import dataclasses

import pytest
from tests.unit.configs.good import GOOD, Edit, Loaded

from mailward.configs import effective
from mailward.configs.policy import digest_of, policy_of
from mailward.configs.rules import RulesSection
from mailward.configs.schema import Config
from mailward.model.fencing import Terms
from mailward.model.policy import (
    Automation,
    Deployment,
    Endpoint,
    Node,
    Observer,
    Rules,
    Rung,
    RungKind,
    Service,
)

LADDER = (Rung(RungKind.HELPER, 8.0),)


def test_everything_the_core_needs_is_there(loaded: Loaded) -> None:
    policy = policy_of(loaded(("deployment: hybrid", "deployment: hybrid\nautomation: act")))
    assert policy.cluster == "lab"
    assert (policy.deployment, policy.automation) == (Deployment.HYBRID, Automation.ACT)
    assert policy.services == (Service("smtp", 25, "smtp"), Service("imaps", 993, "imaps"))
    assert policy.nodes == (
        Node("mail-a", "north", ("192.0.2.10", "2001:db8::10"), hostname="mail-a.example.com", ladder=LADDER),
        Node("mail-b", "south", ("192.0.2.11", "2001:db8::11"), hostname="mail-b.example.com", ladder=LADDER),
    )
    assert policy.endpoints == (
        Endpoint("mail.example.com", ("imaps",), ("mail-a", "mail-b"), 60, ("primary",)),
    )
    assert policy.observers == (Observer("controller", "", 1),)
    assert policy.targets == ("primary",)
    assert policy.rules == Rules()


def test_a_node_without_helper_or_replication_says_so(loaded: Loaded) -> None:
    policy = policy_of(loaded(("    hostname:", "    helper: none\n    hostname:")))
    assert [(node.fenced, node.replicates) for node in policy.nodes] == [(False, True), (True, True)]
    policy = policy_of(loaded(("{doveadm: {api_key_file: doveadm_key}}", "none")))
    assert [(node.fenced, node.replicates) for node in policy.nodes] == [(True, False), (True, False)]


STORE = "coordination: {zookeeper: {servers: ['zk:2181']}}"


def beside_a(deployment: str = "cluster", store: str = STORE) -> tuple[Edit, ...]:
    """A daemon runs beside mail-a, and none beside mail-b."""
    return (
        ("deployment: hybrid", f"deployment: {deployment}"),
        (", nodes: [mail-a, mail-b]", ""),
        ("canary: {", f"observers: [{{name: watch, node: mail-a}}]\n{store}\ncanary: {{"),
    )


def test_in_a_cluster_the_daemon_beside_a_node_is_asked_first(loaded: Loaded) -> None:
    config = loaded(*beside_a())
    first, second = policy_of(config).nodes
    assert first.ladder == (Rung(RungKind.ASK, 8.0), *LADDER)
    assert second.ladder == LADDER
    assert effective.ssh_of(config, "mail-a") == effective.ssh_of(loaded(), "mail-a"), (
        "the way over SSH stays as it is"
    )


def test_a_rung_that_stops_what_writes_takes_as_long_as_its_orders_do(loaded: Loaded) -> None:
    config = loaded(
        ("deployment: hybrid", "deployment: cluster"),
        (", nodes: [mail-a, mail-b]", ""),
        ("canary: {", "policy: {fence_scope: writes}\ncanary: {"),
    )
    order_s = 8.0 + Terms(stop=True).extra_s
    assert order_s > 8.0
    assert [node.ladder for node in policy_of(config).nodes] == [(Rung(RungKind.HELPER, order_s),)] * 2


@pytest.mark.parametrize(
    "edits",
    [beside_a(deployment="hybrid"), beside_a(store="")],
    ids=["all serve", "nothing carries an order"],
)
def test_nobody_beside_a_node_is_asked_where(loaded: Loaded, edits: tuple[Edit, ...]) -> None:
    config = loaded(*edits)
    assert policy_of(config).nodes[0].ladder == LADDER
    assert effective.asked_of(config, "mail-a") is None
    assert effective.daemon_beside(config, "mail-a") == "watch"


def test_a_standard_of_one_node_needs_no_replication_and_no_dns(loaded: Loaded) -> None:
    config = loaded(
        text="cluster: one\ndeployment: standard\nhelper: none\n"
        "nodes: {mail: {site: here, addresses: [192.0.2.10], hostname: mail.example.org}}\n"
        "endpoints: {mail.example.com: {services: [imaps]}}\n"
    )
    policy = policy_of(config)
    assert policy.endpoints[0].targets == ()
    assert config.warnings == (
        "dns: no target: endpoints are watched, never published",
        "canary: no account: probes cannot log in, and a server that greets may still serve nobody",
    )


def test_a_standard_without_endpoints_is_watched_under_its_own_name(loaded: Loaded) -> None:
    """Shipped like that, it showed no service, and was well whatever failed."""
    config = loaded(
        text="cluster: one\ndeployment: standard\nhelper: none\nreplication: none\n"
        "nodes: {mail: {site: here, addresses: [192.0.2.10], hostname: mail.example.org}}\n"
    )
    (endpoint,) = policy_of(config).endpoints
    assert (endpoint.name, endpoint.nodes, endpoint.targets) == ("mail.example.org", ("mail",), ())
    assert endpoint.services == ("smtp", "submission", "imaps")


def test_the_rules_of_the_file_are_those_of_the_model_by_name_and_default() -> None:
    model = {field.name: field.default for field in dataclasses.fields(Rules)}
    assert {name: field.default for name, field in RulesSection.model_fields.items()} == model


def test_a_rule_of_the_file_reaches_the_core(loaded: Loaded) -> None:
    config = loaded(("canary: {", "policy: {stable_s: 25, last_resort: no, min_free_bytes: 1000}\ncanary: {"))
    rules = policy_of(config).rules
    assert (rules.stable_s, rules.last_resort, rules.min_free_bytes) == (25.0, False, 1000)


def _digest(loaded: Loaded, *edits: Edit, text: str = GOOD) -> str:
    return policy_of(loaded(*edits, text=text)).digest


def test_the_digest_is_a_sha256_and_the_same_each_time(loaded: Loaded) -> None:
    digest = _digest(loaded)
    assert len(digest) == 64
    assert _digest(loaded) == digest


SAME = {
    "a comment": ("cluster: lab", "# a comment\ncluster: lab"),
    "another notation": ("ttl_s: 60", 'ttl_s: "60"'),
    "a default written out": ("smtp: {}", "smtp: {sentinel: yes, probe: {interval_s: 3.0}}"),
    "where a secret stands": ("password_file: canary", "password_file: ./canary"),
    "what concerns one host": ("canary: {", "api: {listen: 127.0.0.1:8080}\ncanary: {"),
}
OTHER = {
    "the mode": ("deployment: hybrid", "deployment: hybrid\nautomation: act"),
    "an address": ("192.0.2.11", "192.0.2.12"),
    "a rule": ("canary: {", "policy: {stable_s: 11}\ncanary: {"),
    "a probe": ("interval_s: 2", "interval_s: 4"),
    "the canary": ("user: canary@", "user: other@"),
    "the order of addresses, the first of which is probed": (
        '[192.0.2.11, "2001:db8::11"]',
        '["2001:db8::11", 192.0.2.11]',
    ),
}


@pytest.mark.parametrize("edit", SAME.values(), ids=SAME)
def test_the_digest_does_not_change_with(loaded: Loaded, edit: Edit) -> None:
    assert _digest(loaded, edit) == _digest(loaded)


@pytest.mark.parametrize("edit", OTHER.values(), ids=OTHER)
def test_the_digest_changes_with(loaded: Loaded, edit: Edit) -> None:
    assert _digest(loaded, edit) != _digest(loaded)


def test_a_key_that_only_a_newer_version_knows_makes_no_difference_until_it_is_written(
    loaded: Loaded,
) -> None:
    """While daemons are upgraded one by one they run with the same configuration."""

    class Newer(Config):
        added: int = 7

    config = loaded()
    said = {name: getattr(config, name) for name in Config.model_fields}
    assert digest_of(Newer.model_construct(**said)) == digest_of(config)
    assert digest_of(Newer.model_construct(**said, added=8)) != digest_of(config)


def test_the_digest_does_not_depend_on_the_secrets(loaded: Loaded, etc) -> None:  # type: ignore[no-untyped-def]
    before = _digest(loaded)
    (etc / "canary").write_text("another\n")
    assert _digest(loaded) == before
