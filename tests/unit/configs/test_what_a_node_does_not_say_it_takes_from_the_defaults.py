"""`effective`: inherited and derived values."""

from pathlib import Path

import pytest
from tests.unit.configs.good import Loaded

from mailward.configs import effective
from mailward.configs.schema import Config
from mailward.configs.targets import Target
from mailward.configs.values import Listen

A = "    hostname:"
LAG_FILES = "{key_file: ssh_key, known_hosts_file: known_hosts}"


def test_a_nodes_helper_takes_what_it_does_not_say_from_the_top(loaded: Loaded, etc) -> None:  # type: ignore[no-untyped-def]
    config = loaded(
        (A, "    helper: {ssh: {address: 10.0.0.1, port: 2222}}\n" + A),
        ("{ssh: {key", "{ssh: {user: guard, key"),
    )
    ssh = effective.ssh_of(config, "mail-a")
    assert ssh is not None
    assert (ssh.user, ssh.address, ssh.port, ssh.key_file) == ("guard", "10.0.0.1", 2222, etc / "ssh_key")
    other = effective.ssh_of(config, "mail-b")
    assert other is not None
    assert (other.address, other.port) == ("192.0.2.11", 22)


WHOLE = "{ssh: {key_file: ssh_key, known_hosts_file: known_hosts}}"


@pytest.mark.parametrize(
    ("top", "own", "has_one"),
    [
        ("none", "", False),
        ("none", "{}", False),
        ("none", WHOLE, True),
        (WHOLE, "none", False),
        (WHOLE, "", True),
    ],
)
def test_a_node_has_a_helper_where_it_or_the_top_says_so(
    loaded: Loaded, top: str, own: str, has_one: bool
) -> None:
    edits = [(WHOLE, top)]
    if own:
        edits.append((A, f"    helper: {own}\n{A}"))
    assert (effective.ssh_of(loaded(*edits), "mail-a") is not None) is has_one


def test_the_probe_address_is_the_first_address_unless_one_is_said(loaded: Loaded) -> None:
    config = loaded((A, "    probe_address: 10.0.0.1\n" + A))
    assert [effective.probe_address_of(config, node) for node in config.nodes] == ["10.0.0.1", "192.0.2.11"]
    ssh = effective.ssh_of(config, "mail-a")
    assert ssh is not None
    assert ssh.address == "10.0.0.1"


def _doveadm(loaded: Loaded, own: str) -> tuple[str | None, str]:
    found = effective.replication_of(loaded((A, f"    replication: {own}\n{A}")), "mail-a")
    assert found is not None
    assert found.doveadm is not None
    return found.doveadm.url, found.doveadm.api_key.get_secret_value()


def test_a_node_takes_url_and_key_of_doveadm_from_the_top(loaded: Loaded) -> None:
    assert _doveadm(loaded, "{}") == ("http://192.0.2.10:8080", "planted-doveadm-key")


def test_a_node_with_its_own_url_keeps_the_common_key(loaded: Loaded) -> None:
    assert _doveadm(loaded, '{doveadm: {url: "https://10.0.0.1:8443/"}}') == (
        "https://10.0.0.1:8443",
        "planted-doveadm-key",
    )


def test_a_node_with_its_own_key_keeps_it(loaded: Loaded) -> None:
    assert _doveadm(loaded, "{doveadm: {api_key_file: api_token}}") == (
        "http://192.0.2.10:8080",
        "planted-token",
    )


def test_an_ipv6_node_has_brackets_in_its_url(loaded: Loaded) -> None:
    config = loaded(('[192.0.2.11, "2001:db8::11"]', '["2001:db8::11"]'))
    found = effective.replication_of(config, "mail-b")
    assert found is not None
    assert found.doveadm is not None
    assert found.doveadm.url == "http://[2001:db8::11]:8080"


def test_a_node_may_measure_over_ssh_while_the_others_ask_doveadm(loaded: Loaded) -> None:
    config = loaded((A, f"    replication: {{ssh: {LAG_FILES}}}\n{A}"))
    assert _account(config, "mail-a") == ("mailward-lag", "192.0.2.10", 22)
    other = effective.replication_of(config, "mail-b")
    assert other is not None
    assert (other.ssh, other.doveadm is not None) == (None, True)


def test_a_node_takes_what_it_does_not_say_of_the_account_from_the_top(loaded: Loaded, etc: Path) -> None:
    config = loaded(
        ("{doveadm: {api_key_file: doveadm_key}}", f"{{ssh: {{user: lag, port: 2222, {LAG_FILES[1:]}}}"),
        (A, "    replication: {ssh: {address: 10.0.0.1, port: 22}}\n    probe_address: 10.0.0.2\n" + A),
    )
    assert _account(config, "mail-a") == ("lag", "10.0.0.1", 22)
    assert _account(config, "mail-b") == ("lag", "192.0.2.11", 2222)
    found = effective.replication_of(config, "mail-a")
    assert found is not None
    assert found.ssh is not None
    assert (found.ssh.key_file, found.ssh.known_hosts_file) == (etc / "ssh_key", etc / "known_hosts")


def test_measuring_over_ssh_goes_to_the_probe_address_and_needs_no_helper(loaded: Loaded) -> None:
    config = loaded(
        ("{doveadm: {api_key_file: doveadm_key}}", f"{{ssh: {LAG_FILES}}}"),
        (A, "    helper: none\n    probe_address: 10.0.0.2\n" + A),
    )
    assert _account(config, "mail-a") == ("mailward-lag", "10.0.0.2", 22)


def _account(config: Config, node: str) -> tuple[str, str | None, int]:
    found = effective.replication_of(config, node)
    assert found is not None
    assert found.ssh is not None
    return found.ssh.user, found.ssh.address, found.ssh.port


def test_ports_are_the_nodes_the_services_or_the_standard(loaded: Loaded) -> None:
    config = loaded((A, "    services: {imaps: {port: 10993}}\n" + A), ("smtp: {}", "smtp: {port: 2525}"))
    assert effective.port_of(config, "imaps", "mail-a") == 10993
    assert effective.port_of(config, "imaps", "mail-b") == 993
    assert effective.port_of(config, "imaps") == 993
    assert effective.port_of(config, "smtp", "mail-a") == 2525


def test_probes_log_in_where_people_do_if_there_is_an_account(loaded: Loaded) -> None:
    config = loaded()
    assert effective.login_of(config, "imaps") is config.canary
    assert effective.login_of(config, "smtp") is None
    assert effective.login_of(loaded(("interval_s: 2", "login: none")), "imaps") is None
    assert effective.login_of(loaded(("smtp: {}", "smtp: {probe: {login: canary}}")), "smtp") is not None


def test_certificates_are_for_the_name_clients_use(loaded: Loaded) -> None:
    config = loaded()
    assert effective.tls_name_of(config, "imaps", "mail-a") == "mail.example.com"
    assert effective.tls_name_of(config, "smtp", "mail-a") == "mail-a.example.com"
    nameless = loaded(("    hostname: mail-b.example.com\n", ""))
    assert effective.tls_name_of(nameless, "smtp", "mail-b") is None
    said = loaded(("interval_s: 2", "tls_name: imap.example.org"))
    assert effective.tls_name_of(said, "imaps", "mail-a") == "imap.example.org"


@pytest.mark.parametrize(
    ("probe", "protocol", "wanted"),
    [("{}", "smtp", False), ("{}", "submission", True), ("{}", "imap", True), ("{}", "imaps", False),
     ("{starttls: true}", "smtp", True), ("{starttls: false}", "submission", False)],
)  # fmt: skip
def test_starttls_is_demanded_where_passwords_go(
    loaded: Loaded, probe: str, protocol: str, wanted: bool
) -> None:
    config = loaded(("smtp: {}", f"x: {{protocol: {protocol}, port: 1, probe: {probe}}}"))
    assert effective.uses_starttls(config, "x") is wanted


def test_an_endpoint_is_published_wherever_a_zone_holds_it(loaded: Loaded) -> None:
    config = loaded(
        (", dns: [primary]", ""),
        ("dns:\n", "dns:\n  other: {embedded: {zone: mail.example.com, ns: [ns.example.com]}}\n"
                   "  far: {embedded: {zone: example.org, listen: ['[::]:53'], ns: [ns.example.com]}}\n"),
    )  # fmt: skip
    assert effective.targets_of(config, "mail.example.com") == ("other", "primary")


def test_all_nodes_stand_behind_an_endpoint_unless_some_are_said(loaded: Loaded) -> None:
    config = loaded(("nodes: [mail-a, mail-b]", "nodes: all"))
    assert effective.nodes_of(config, "mail.example.com") == ("mail-a", "mail-b")
    assert effective.nodes_of(loaded((", nodes: [mail-a, mail-b]", "")), "mail.example.com") == (
        "mail-a",
        "mail-b",
    )


def test_sites_are_those_of_nodes_and_observers_unless_listed(loaded: Loaded) -> None:
    config = loaded(
        ("sites: [north, south]\n", ""),
        ("canary: {", "observers: [{name: witness, site: office}]\ncanary: {"),
    )
    assert effective.sites_of(config) == ("north", "south", "office")


def test_a_change_is_verified_on_primary_and_secondaries_unless_servers_are_said(loaded: Loaded) -> None:
    def verified(target: Target) -> tuple[Listen, ...] | None:
        assert target.rfc2136 is not None
        return target.rfc2136.verified

    config = loaded(("      zone:", "      secondaries: [192.0.2.54, '[2001:db8::54]:5353']\n      zone:"))
    assert verified(config.dns["primary"]) == (
        Listen("192.0.2.53", 53),
        Listen("192.0.2.54", 53),
        Listen("2001:db8::54", 5353),
    )
    said = loaded(("      zone:", "      secondaries: [192.0.2.54]\n      verify: [192.0.2.54]\n      zone:"))
    assert verified(said.dns["primary"]) == (Listen("192.0.2.53", 53), Listen("192.0.2.54", 53))
    assert verified(loaded().dns["primary"]) is None, "the primary and those the zone names"


def test_relative_paths_start_at_the_folder_of_the_file(loaded: Loaded, etc) -> None:  # type: ignore[no-untyped-def]
    config = loaded(("canary: {", "coordination: {local: {directory: state}}\ncanary: {"))
    assert config.coordination.local.directory == etc / "state"


def test_an_endpoint_whose_nodes_differ_in_families_is_a_warning(loaded: Loaded) -> None:
    config = loaded(('[192.0.2.11, "2001:db8::11"]', "[192.0.2.11]"))
    assert config.warnings == ("endpoints.mail.example.com: IPv6 clients depend on mail-a alone",)


def test_an_endpoint_of_one_node_is_a_warning(loaded: Loaded) -> None:
    config = loaded(("nodes: [mail-a, mail-b]", "nodes: [mail-b]"))
    assert config.warnings == (
        "endpoints.mail.example.com: only mail-b stands behind it: it is never withdrawn",
    )
