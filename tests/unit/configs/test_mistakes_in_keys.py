"""Keys and sections: misspelt, missing, doubled, of the wrong kind.

Each row: what is changed in the good file, and exactly what is said.
"""

import pytest

RFC2136 = """\
    rfc2136:
      server: 192.0.2.53
      zone: example.com
      tsig: {name: mailward, secret_file: tsig}
"""

ROWS = {
    "a typo in a key of the file": (
        ("deployment: hybrid", "deployment: hybrid\nautomaton: act"),
        "line 3: automaton: unknown key: did you mean automation?",
    ),
    "a typo in a key of a node": (
        ("    hostname:", "    hostnme:"),
        "line 8: nodes.mail-a.hostnme: unknown key: did you mean hostname?",
    ),
    "a probe key without its unit": (
        ("interval_s: 2", "interval: 2"),
        "line 17: services.imaps.probe.interval: unknown key: did you mean interval_s?",
    ),
    "a key like no other": (
        ("helper: {ssh:", "helper: {telnet:"),
        "line 13: helper.telnet: unknown key: known here are ssh",
    ),
    "a key in the wrong section": (
        (RFC2136, "    embedded: {verify: [192.0.2.53], zone: example.com, ns: [ns.example.org]}\n"),
        "line 23: dns.primary.embedded.verify: unknown key: known here are zone, listen, ns, contact,"
        " state_file",
    ),
    "a backend that does not exist yet": (
        ("canary: {", "coordination: {etcd: {hosts: [e1]}}\ncanary: {"),
        "line 18: coordination.etcd: unknown key: known here are local, zookeeper",
    ),
    "a secret written into the file": (
        ("password_file: canary", "password: hunter2"),
        "line 18: canary.password: secrets do not stand in this file: put it into a file and name that in"
        " password_file",
    ),
    "a key twice": (
        ("helper: {", "sites: [north]\nhelper: {"),
        "line 13: sites: stands here twice (first in line 3): keep one",
    ),
    "a required key left out": (
        ("    site: north\n", ""),
        "line 5: nodes.mail-a.site: missing: the site it stands in: nodes of one site may fail together",
    ),
    "no cluster name": (
        ("cluster: lab\n", ""),
        "cluster: missing: the cluster's name; it is part of a record's name in DNS",
    ),
    "a required key left empty": (
        ("cluster: lab", "cluster:"),
        "line 1: cluster: empty: write a name, or leave the line out",
    ),
    "a value where a section is wanted": (
        ("  smtp: {}", "  smtp: 25"),
        "line 16: services.smtp: a section is wanted here, keys with values: a client-facing service of"
        " every node",
    ),
    "a section with nothing in it": (
        ("endpoints:\n", "endpoints:\nx:\n"),
        "line 19: endpoints: the section is empty: write keys with values, or leave it out",
        "line 20: x: unknown key: known here are cluster, deployment, automation, sites, nodes, helper,"
        " replication, services, canary, tls, endpoints, dns, coordination, observers, observer, api,"
        " watchdog, policy",
    ),
    "a section where a value is wanted": (
        ("cluster: lab", "cluster: {name: lab}"),
        "line 1: cluster: a single value is wanted here: write a name",
    ),
    "a value where a list is wanted": (
        ('[192.0.2.10, "2001:db8::10"]', "192.0.2.10"),
        "line 7: nodes.mail-a.addresses: a list is wanted here: write [192.0.2.10]",
    ),
    "a word where only none is known": (
        ("    site: north", "    site: north\n    helper: off"),
        "line 7: nodes.mail-a.helper: 'off': write `none`, or a section",
    ),
    "a list with nothing in it": (
        ('[192.0.2.10, "2001:db8::10"]', ""),
        "line 7: nodes.mail-a.addresses: empty: write a list, or leave the line out",
    ),
    "an empty list item": (
        ("sites: [north, south]", "sites: [north, south, ~]"),
        "line 3: sites[2]: empty: write a name, or leave the line out",
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_the_mistake_is_told_in_these_words(row, problems) -> None:  # type: ignore[no-untyped-def]
    edits = [part for part in row if isinstance(part, tuple)]
    said = tuple(part for part in row if isinstance(part, str))
    assert problems(*edits) == said
