"""Names that do not exist, and words that mean nothing here.

Each row: what is changed in the good file, and exactly what is said.
"""

import pytest

ROWS = {
    "an unknown node": (
        ("nodes: [mail-a, mail-b]", "nodes: [mail-a, mial-b]"),
        "line 20: endpoints.mail.example.com.nodes[1]: 'mial-b' is not a node: did you mean mail-b?",
    ),
    "an unknown service": (
        ("services: [imaps]", "services: [pop3s]"),
        "line 20: endpoints.mail.example.com.services[0]: 'pop3s' is not a service: known are smtp, imaps",
    ),
    "an unknown DNS target": (
        ("dns: [primary]", "dns: [primry]"),
        "line 20: endpoints.mail.example.com.dns[0]: 'primry' is not a DNS target: did you mean primary?",
    ),
    "an unknown site": (
        ("site: south", "site: suoth"),
        "line 10: nodes.mail-b.site: 'suoth' is not a site: did you mean south?",
    ),
    "an observer in an unknown site": (
        ("canary: {", "observers: [{name: controller, site: office}]\ncanary: {"),
        "line 18: observers[0].site: 'office' is not a site: known are north, south",
    ),
    "a port of an unknown service on a node": (
        ("    hostname:", "    services: {imap: {port: 1143}}\n    hostname:"),
        "line 8: nodes.mail-a.services.imap: 'imap' is not a service: did you mean imaps?",
    ),
    "a daemon beside an unknown node": (
        ("canary: {", "observers: [{name: watch, node: mail-c}]\ncanary: {"),
        "line 18: observers[0].node: 'mail-c' is not a node: did you mean mail-b?",
    ),
    "the same node twice in an endpoint": (
        ("nodes: [mail-a, mail-b]", "nodes: [mail-a, mail-a]"),
        "line 20: endpoints.mail.example.com.nodes[1]: 'mail-a' stands here twice: keep one",
    ),
    "the same site twice": (
        ("sites: [north, south]", "sites: [north, south, north]"),
        "line 3: sites[2]: 'north' stands here twice: keep one",
    ),
    "a name with capitals and spaces": (
        ("cluster: lab", "cluster: My Lab"),
        "line 1: cluster: 'My Lab' is not a name here (a-z, 0-9 and -, at most 63 characters): write my-lab",
    ),
    "a word that is not one of the choices": (
        ("deployment: hybrid", "deployment: hybird"),
        "line 2: deployment: 'hybird' is not known here: write hybrid",
    ),
    "a word far from all choices": (
        ("deployment: hybrid", "deployment: hybrid\nautomation: full"),
        "line 3: automation: 'full' is not known here: write observe or act",
    ),
    "a service whose protocol nobody can guess": (
        ("  smtp: {}", "  webmail: {port: 443}"),
        "line 16: services.webmail.protocol: missing: 'webmail' says none; write one of smtp, smtps,"
        " submission, imap, imaps",
    ),
    "a probe that logs in without an account": (
        ("canary: {user: canary@example.com, password_file: canary}\n", ""),
        ("interval_s: 2", "login: canary"),
        "line 17: services.imaps.probe.login: no canary account is given: add the section `canary`, or"
        " write none",
    ),
    "STARTTLS where TLS begins at once": (
        ("interval_s: 2", "starttls: true"),
        "line 17: services.imaps.probe.starttls: imaps begins with TLS: leave the line out",
    ),
    "a recipient for IMAP": (
        ("interval_s: 2", "rcpt: canary@example.com"),
        "line 17: services.imaps.probe.rcpt: imaps takes no recipients: leave the line out",
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_the_mistake_is_told_in_these_words(row, problems) -> None:  # type: ignore[no-untyped-def]
    edits = [part for part in row if isinstance(part, tuple)]
    said = tuple(part for part in row if isinstance(part, str))
    assert problems(*edits) == said
