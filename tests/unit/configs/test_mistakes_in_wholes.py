"""Parts that are right and do not fit together.

Each row: what is changed in the good file, and exactly what is said.
"""

import pytest
from tests.unit.configs.good import Problems

RFC2136 = """\
    rfc2136:
      server: 192.0.2.53
      zone: example.com
      tsig: {name: mailward, secret_file: tsig}
"""

LAG_FILES = "{key_file: ssh_key, known_hosts_file: known_hosts}"

MAIL_B = """\
  mail-b:
    site: south
    addresses: [192.0.2.11, "2001:db8::11"]
    hostname: mail-b.example.com
"""

ZOOKEEPER = "coordination: {zookeeper: {servers: [zk1:2181]}}"
ROWS = {
    "two daemons beside one node": (
        (
            "canary: {",
            "observers: [{name: eye, node: mail-a}, {name: watch, node: mail-a}]\n"
            f"{ZOOKEEPER}\ncanary: {{",
        ),
        "line 18: observers[1].node: eye runs beside mail-a already: each node has one daemon of its own",
    ),
    "a scope that is not there yet": (
        ("canary: {", "policy: {fence_scope: power}\ncanary: {"),
        "line 18: policy.fence_scope: power is not there yet: write users, or writes where nodes share a"
        " store",
    ),
    "a scope that stops nothing": (
        ("canary: {", "policy: {fence_scope: none}\ncanary: {"),
        "line 18: policy.fence_scope: none would let two serve: write users, or writes where nodes share a"
        " store",
    ),
    "a scope that nobody knows": (
        ("canary: {", "policy: {fence_scope: write}\ncanary: {"),
        "line 18: policy.fence_scope: 'write' is not known here: write users or writes",
    ),
    "an endpoint without services": (
        ("services: [imaps]", "services: []"),
        "line 20: endpoints.mail.example.com.services: no service is listed: write what clients use under"
        " this name",
    ),
    "an endpoint without nodes": (
        ("nodes: [mail-a, mail-b]", "nodes: []"),
        "line 20: endpoints.mail.example.com.nodes: no node is listed: write all, or the names of some",
    ),
    "an endpoint without DNS targets": (
        ("dns: [primary]", "dns: []"),
        "line 20: endpoints.mail.example.com.dns: no DNS target is listed: write one, or leave the line"
        " out for all"
        " that fit",
    ),
    "no endpoint": (
        ("endpoints:\n", "endpoints: {}\n"),
        ("  mail.example.com: {services: [imaps], nodes: [mail-a, mail-b], ttl_s: 60, dns: [primary]}\n", ""),
        "line 19: endpoints: missing: write at least one DNS name that clients use",
    ),
    "an endpoint outside its target's zone": (
        ("zone: example.com", "zone: example.org"),
        "line 20: endpoints.mail.example.com.dns[0]: mail.example.com is not in the zone of primary,"
        " example.org",
    ),
    "an endpoint outside every zone": (
        ("zone: example.com", "zone: example.org"),
        (", dns: [primary]", ""),
        "line 20: endpoints.mail.example.com: no DNS target's zone holds this name: the zones are"
        " example.org",
    ),
    "a zone that only ends alike": (
        ("zone: example.com", "zone: ample.com"),
        (", dns: [primary]", ""),
        "line 20: endpoints.mail.example.com: no DNS target's zone holds this name: the zones are ample.com",
    ),
    "an endpoint that is a node's own name": (
        ("  mail.example.com:", "  mail-a.example.com:"),
        "line 20: endpoints.mail-a.example.com: is the own name of mail-a, which must not move: write the"
        " name that"
        " clients use",
    ),
    "a DNS target of no kind": (
        (RFC2136, ""),
        (", dns: [primary]", ""),
        ("  primary:", "  primary: {}"),
        "line 22: dns.primary: missing: write one of rfc2136 and embedded",
    ),
    "a name server inside the zone it serves": (
        (RFC2136, "    embedded: {zone: example.com, ns: [ns.example.com]}\n"),
        "line 23: dns.primary.embedded.ns[0]: ns.example.com lies in the zone itself, which holds"
        " endpoints only:"
        " write a name outside",
    ),
    "a DNS target of two kinds": (
        ("    rfc2136:\n", "    embedded: {zone: example.com, ns: [ns.example.org]}\n    rfc2136:\n"),
        "line 22: dns.primary: rfc2136 and embedded are both given: keep one",
    ),
    "an embedded server without a name": (
        (RFC2136, "    embedded: {zone: example.com, ns: []}\n"),
        "line 23: dns.primary.embedded.ns: no name server is listed: write this host's name",
    ),
    "an embedded server that listens nowhere": (
        (RFC2136, "    embedded: {zone: example.com, ns: [ns.example.org], listen: []}\n"),
        "line 23: dns.primary.embedded.listen: no address is listed: write one, such as 0.0.0.0:53",
    ),
    "a contact that is none": (
        (RFC2136, "    embedded: {zone: example.com, ns: [ns.example.org], contact: me}\n"),
        "line 23: dns.primary.embedded.contact: 'me' is not a contact: write one such as"
        " hostmaster@example.com",
    ),
    "two servers on one port": (
        (RFC2136, "    embedded: {zone: example.com, ns: [ns.example.org]}\n"),
        ("canary: {", "api: {listen: '127.0.0.1:53'}\ncanary: {"),
        "line 24: dns.primary.embedded.listen[0]: 0.0.0.0:53 is already taken by api.listen (127.0.0.1:53)",
    ),
    "no node": (
        ("nodes:\n", "nodes: {}\nold:\n"),
        (", nodes: [mail-a, mail-b]", ""),
        "line 4: nodes: no node is listed: write at least one, under its name",
        "line 5: old: unknown key: known here are cluster, deployment, automation, sites, nodes, helper,"
        " replication, services, canary, tls, endpoints, dns, coordination, observers, observer, api,"
        " watchdog, policy",
    ),
    "no service": (
        ("services:\n  smtp: {}\n  imaps: {probe: {interval_s: 2}}\n", "services: {}\n"),
        ("services: [imaps]", "services: []"),
        "line 15: services: no service is listed: leave the section out for smtp, submission, imaps",
        "line 18: endpoints.mail.example.com.services: no service is listed: write what clients use under"
        " this name",
    ),
    "a hybrid of one": (
        (
            MAIL_B,
            "",
        ),
        (", nodes: [mail-a, mail-b]", ""),
        "line 2: deployment: hybrid needs two nodes or more, here is one: add a node, or write standard",
    ),
    "a standard of two": (
        ("deployment: hybrid", "deployment: standard"),
        "line 2: deployment: standard has one node, here are 2: write hybrid",
    ),
    "a cluster with a node that nobody could close": (
        ("deployment: hybrid", "deployment: cluster"),
        ("    site: south\n", "    site: south\n    helper: none\n"),
        "line 11: nodes.mail-b.helper: in a cluster every node has a helper, which keeps the ports of a"
        " standby closed",
    ),
    "a cluster where a node does not stand behind an endpoint": (
        ("deployment: hybrid", "deployment: cluster"),
        ("nodes: [mail-a, mail-b]", "nodes: [mail-a]"),
        "line 20: endpoints.mail.example.com.nodes: in a cluster every node stands behind every endpoint:"
        " leave the line out",
    ),
    "a standard that should act": (
        ("deployment: hybrid", "deployment: standard\nautomation: act"),
        (
            MAIL_B,
            "",
        ),
        (", nodes: [mail-a, mail-b]", ""),
        ("{doveadm: {api_key_file: doveadm_key}}", "none"),
        "line 3: automation: standard has nothing to fail over to: write observe",
    ),
    "a hybrid that does not say how lag is measured": (
        ("replication: {doveadm: {api_key_file: doveadm_key}}\n", ""),
        "replication: missing: write how replication is measured, `{doveadm: {api_key_file: …}}` or"
        " `{ssh: {key_file: …}}`, or `none` where nodes share their mail store or nothing",
    ),
    "replication measured in two ways": (
        ("replication: {doveadm:", f"replication: {{ssh: {LAG_FILES}, doveadm:"),
        "line 14: replication: doveadm and ssh are both given: keep one",
    ),
    "measuring over ssh as a switch": (
        ("replication: {doveadm: {api_key_file: doveadm_key}}", "replication: {ssh: true}"),
        "line 14: replication.ssh: a section is wanted here, keys with values: by doveadm on the node, over"
        " SSH",
    ),
    "an empty way to measure, which has no key": (
        ("replication: {doveadm: {api_key_file: doveadm_key}}", "replication: {doveadm: }"),
        "line 14: replication.doveadm.api_key_file: missing: write the path of a file that holds the api_key",
    ),
    "replication of one node with nobody": (
        ("    site: north", "    site: north\n    replication: none"),
        "line 15: replication: Dovecot replicates between two nodes, and here it is measured on mail-b:"
        " write `replication: none` where there is none",
    ),
    "a certificate without a name to look for": (
        ("    hostname: mail-a.example.com\n", ""),
        ("smtp: {}", "submission: {}"),
        "line 5: nodes.mail-a.hostname: missing: submission has a certificate to check, and no endpoint"
        " gives it"
        " a name here",
    ),
    "one ssh address for all nodes": (
        ("helper: {ssh: {", "helper: {ssh: {address: 192.0.2.10, "),
        "line 13: helper.ssh.address: belongs to one node: write it under nodes.NAME.helper.ssh",
    ),
    "one ssh address for measuring on all nodes": (
        ("{doveadm: {api_key_file: doveadm_key}}", f"{{ssh: {{address: 192.0.2.10, {LAG_FILES[1:]}}}"),
        "line 14: replication.ssh.address: belongs to one node: write it under nodes.NAME.replication.ssh",
    ),
    "one doveadm URL for all nodes": (
        ("{doveadm: {", "{doveadm: {url: 'http://192.0.2.10:8080', "),
        "line 14: replication.doveadm.url: belongs to one node: write it under"
        " nodes.NAME.replication.doveadm",
    ),
    "two observers with the local store": (
        ("canary: {", "observers: [{name: one}, {name: two}]\ncanary: {"),
        "line 18: observers[1]: the local store takes one observer: keep the one that leads, or write"
        " coordination.zookeeper",
    ),
    "two observers of one name": (
        ("canary: {", f"{ZOOKEEPER}\nobservers: [{{name: one}}, {{name: one}}]\ncanary: {{"),
        "line 19: observers[1].name: 'one' stands here twice: keep one",
    ),
    "nobody who may lead": (
        ("canary: {", "observers: [{name: one, leader: never}]\ncanary: {"),
        "line 18: observers[0].leader: nobody may lead: write `leader: may` for one at least",
    ),
    "an address for other daemons that there are not": (
        ("canary: {", "observers: [{name: one, address: one.example.com:7443}]\ncanary: {"),
        "line 18: observers[0].address: there are no other daemons with the local store: leave the line out",
    ),
    "an observer that is none of them": (
        ("canary: {", "observer: two\nobservers: [{name: one}]\ncanary: {"),
        "line 18: observer: 'two' is not one of the observers: known are one",
    ),
    "no ZooKeeper server": (
        ("canary: {", "coordination: {zookeeper: {servers: []}}\ncanary: {"),
        "line 18: coordination.zookeeper.servers: no server is listed: write all of the ensemble",
    ),
    "a ZooKeeper server twice": (
        ("canary: {", "coordination: {zookeeper: {servers: [zk1:2181, zk1:2181]}}\ncanary: {"),
        "line 18: coordination.zookeeper.servers[1]: 'zk1:2181' stands here twice: keep one",
    ),
    "a ZooKeeper server without its port": (
        ("canary: {", "coordination: {zookeeper: {servers: [zk1.example.com]}}\ncanary: {"),
        "line 18: coordination.zookeeper.servers[0]: 'zk1.example.com' is not a server and a port: write one"
        " such as zk1.example.com:2281",
    ),
    "no observer": (
        ("canary: {", "observers: []\ncanary: {"),
        "line 18: observers: no observer is listed: leave the section out for one",
    ),
}


@pytest.mark.parametrize(
    "said",
    [
        "takeover_after_s: 30", "rescue_s: 10", "demote_s: 20", "fence_scope: users", "loss: balanced",
        "lease_s: 15", "failback: manual", "failback_window: '02:00-04:00'", "failback_after_s: 3600",
    ],
)  # fmt: skip
def test_what_only_a_cluster_follows_is_a_mistake_elsewhere(said: str, problems: Problems) -> None:
    key = said.partition(":")[0]
    assert problems(("canary: {", f"policy: {{{said}}}\ncanary: {{")) == (
        f"line 18: policy.{key}: it is for a cluster, here is a hybrid: leave the line out",
    )


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_the_mistake_is_told_in_these_words(row, problems) -> None:  # type: ignore[no-untyped-def]
    edits = [part for part in row if isinstance(part, tuple)]
    said = tuple(part for part in row if isinstance(part, str))
    assert problems(*edits) == said
