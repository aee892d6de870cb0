"""Addresses, host names, zones, ports and URLs.

Each row: what is changed in the good file, and exactly what is said.
"""

import pytest

ROWS = {
    "an address that is none": (
        ("192.0.2.10,", "192.0.2.300,"),
        "line 7: nodes.mail-a.addresses[0]: '192.0.2.300' is not an IP address: write one such as"
        " 192.0.2.10 or"
        " 2001:db8::10",
    ),
    "an address with a prefix length": (
        ("192.0.2.10,", "192.0.2.10/24,"),
        "line 7: nodes.mail-a.addresses[0]: '192.0.2.10/24' is not an IP address: write 192.0.2.10",
    ),
    "an address with a port": (
        ("192.0.2.10,", "'192.0.2.10:993',"),
        "line 7: nodes.mail-a.addresses[0]: '192.0.2.10:993' is not an IP address: write 192.0.2.10",
    ),
    "IPv4 in IPv6 form": (
        ("2001:db8::10", "::ffff:192.0.2.10"),
        "line 7: nodes.mail-a.addresses[1]: '::ffff:192.0.2.10' is an IPv4 address in IPv6 form: write"
        " 192.0.2.10",
    ),
    "an address of one link": (
        ("2001:db8::10", "fe80::1"),
        "line 7: nodes.mail-a.addresses[1]: 'fe80::1' is valid on one link only: write an address that others"
        " can reach",
    ),
    "an address of nobody": (
        ("192.0.2.10,", "0.0.0.0,"),
        "line 7: nodes.mail-a.addresses[0]: '0.0.0.0' is not the address of one host",
    ),
    "two nodes with one address": (
        ("192.0.2.11", "192.0.2.10"),
        "line 11: nodes.mail-b.addresses[0]: 192.0.2.10 is already an address of mail-a",
    ),
    "one address written in two ways": (
        ("2001:db8::11", "2001:0db8:0::10"),
        "line 11: nodes.mail-b.addresses[1]: 2001:db8::10 is already an address of mail-a",
    ),
    "two nodes with one name": (
        ("hostname: mail-b.example.com", "hostname: mail-a.example.com"),
        "line 12: nodes.mail-b.hostname: mail-a.example.com is already the name of mail-a",
    ),
    "a node without an address": (
        ('[192.0.2.10, "2001:db8::10"]', "[]"),
        "line 7: nodes.mail-a.addresses: no address is listed: write at least one",
    ),
    "a name instead of a name server's address": (
        ("server: 192.0.2.53", "server: ns1.example.com"),
        "line 24: dns.primary.rfc2136.server: 'ns1.example.com' is not an IP address: write one such as"
        " 192.0.2.10"
        " or 2001:db8::10",
    ),
    "a short host name": (
        ("hostname: mail-a.example.com", "hostname: mail-a"),
        "line 8: nodes.mail-a.hostname: 'mail-a' is not a full host name: write one such as mail.example.com",
    ),
    "an address instead of a host name": (
        ("hostname: mail-a.example.com", "hostname: 192.0.2.10"),
        "line 8: nodes.mail-a.hostname: '192.0.2.10' is an address: write a name such as mail.example.com",
    ),
    "an endpoint in letters outside ASCII": (
        ("mail.example.com: {", "pöst.example.com: {"),
        "line 20: endpoints.pöst.example.com: 'pöst.example.com' has letters outside ASCII: write its"
        " ASCII form"
        " (xn--…)",
    ),
    "a zone that is no name": (
        ("zone: example.com", "zone: example..com"),
        "line 25: dns.primary.rfc2136.zone: 'example..com' is not a DNS name: write one such as example.com",
    ),
    "a port missing from where to listen": (
        ("canary: {", "api: {listen: 127.0.0.1}\ncanary: {"),
        "line 18: api.listen: '127.0.0.1' is not an address and a port: write 127.0.0.1:8080 or [::1]:8080",
    ),
    "the primary among its secondaries": (
        ("      zone:", "      secondaries: ['192.0.2.53:53']\n      zone:"),
        "line 25: dns.primary.rfc2136.secondaries[0]: 192.0.2.53:53 is the primary: list only the others",
    ),
    "two services on one port": (
        ("  smtp: {}", "  smtp: {port: 993}"),
        "line 17: services.imaps.port: port 993 is already that of smtp: each service has its own",
    ),
    "two services on one port of one node": (
        ("    hostname:", "    services: {smtp: {port: 993}}\n    hostname:"),
        "line 8: nodes.mail-a.services.smtp.port: port 993 is already that of imaps: each service has its"
        " own",
    ),
    "a login that is no mail address": (
        ("interval_s: 2", "rcpt: postmaster"),
        ("imaps: {probe", "smtps: {probe"),
        ("services: [imaps]", "services: [smtps]"),
        "line 17: services.smtps.probe.rcpt: 'postmaster' is not a mail address: write one such as"
        " canary@example.com",
    ),
    "a URL of another kind": (
        ("    site: north", "    site: north\n    replication: {doveadm: {url: 'ftp://192.0.2.10'}}"),
        "line 7: nodes.mail-a.replication.doveadm.url: 'ftp://192.0.2.10' is not the URL of a server:"
        " write one"
        " such as http://192.0.2.10:8080",
    ),
    "a URL with a port out of range": (
        ("    site: north", "    site: north\n    replication: {doveadm: {url: 'http://192.0.2.10:99999'}}"),
        "line 7: nodes.mail-a.replication.doveadm.url: 'http://192.0.2.10:99999' is not the URL of a server:"
        " write one such as http://192.0.2.10:8080",
    ),
    "a list of URLs": (
        ("    site: north", "    site: north\n    replication: {doveadm: {url: [a]}}"),
        "line 7: nodes.mail-a.replication.doveadm.url: a URL is wanted here: write one such as"
        " http://192.0.2.10:8080",
    ),
    "a secondary twice": (
        ("      zone:", "      secondaries: [192.0.2.54, '192.0.2.54:53']\n      zone:"),
        "line 25: dns.primary.rfc2136.secondaries[1]: 192.0.2.54:53 stands here twice: keep one",
    ),
    "nobody to verify on": (
        ("      zone:", "      verify: []\n      zone:"),
        "line 25: dns.primary.rfc2136.verify: no server is listed: write one, or leave the line out for all",
    ),
    "a mailbox in letters outside ASCII": (
        ("interval_s: 2", "mailbox: Entwürfe"),
        "line 17: services.imaps.probe.mailbox: 'Entwürfe' has letters outside ASCII: write a mailbox with a"
        " plain name",
    ),
    "a login of nothing": (
        ("user: canary@example.com", 'user: ""'),
        "line 18: canary.user: '' is not a text of 1 to 255 printable characters",
    ),
    "a path of nothing": (
        ("password_file: canary", 'password_file: ""'),
        "line 18: canary.password_file: '' is not a path",
    ),
    "a password in a URL, which is not shown": (
        ("{doveadm: {", "{doveadm: {url: 'http://me:hunter2@192.0.2.10:8080', "),
        "line 14: replication.doveadm.url: a URL without a user or a password is wanted: the key goes into"
        " api_key_file",
    ),
    "a URL with a path": (
        (
            "    site: north",
            "    site: north\n    replication: {doveadm: {url: 'http://192.0.2.10:8080/doveadm/v1'}}",
        ),
        "line 7: nodes.mail-a.replication.doveadm.url: 'http://192.0.2.10:8080/doveadm/v1' is not the URL"
        " of a"
        " server: write one such as http://192.0.2.10:8080",
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_the_mistake_is_told_in_these_words(row, problems) -> None:  # type: ignore[no-untyped-def]
    edits = [part for part in row if isinstance(part, tuple)]
    said = tuple(part for part in row if isinstance(part, str))
    assert problems(*edits) == said
