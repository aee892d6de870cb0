"""configs/deployments: what people copy. They load, say what they do, and show the true defaults."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.configs.good import Loaded

import mailward.configs
from mailward.configs import policy
from mailward.configs.check import describe
from mailward.configs.nodes import LagSsh
from mailward.configs.schema import Config
from mailward.configs.sections import Section
from mailward.model.policy import Rules, RungKind

FOLDER = Path(mailward.configs.__file__).parent / "deployments"
HYBRID = (FOLDER / "hybrid.yaml").read_text(encoding="utf-8")
MINIMAL = (FOLDER / "hybrid-minimal.yaml").read_text(encoding="utf-8")
CLUSTER = (FOLDER / "cluster.yaml").read_text(encoding="utf-8")
STANDARD = (FOLDER / "standard.yaml").read_text(encoding="utf-8")
WITH_KEYS = MINIMAL + "helper: {ssh: {key_file: ssh_key, known_hosts_file: known_hosts}}\n"


def _here(text: str) -> str:
    """Its files taken from the folder of the test."""
    return text.replace("/etc/mailward/", "")


def test_the_hybrid_loads_without_a_warning(loaded: Loaded) -> None:
    assert loaded(text=_here(HYBRID)).warnings == ()


def test_the_minimal_hybrid_loads_without_a_warning_and_fits_in_thirty_lines(loaded: Loaded) -> None:
    assert loaded(text=_here(WITH_KEYS)).warnings == ()
    assert len(MINIMAL.splitlines()) <= 30


def test_the_cluster_loads_without_a_warning_and_shows_true_defaults(loaded: Loaded) -> None:
    config = loaded(text=_here(CLUSTER))
    assert config.warnings == ()
    seen = policy.policy_of(config)
    assert seen.rules == Rules()
    assert [(node.priority, [rung.kind for rung in node.ladder]) for node in seen.nodes] == [
        (10, [RungKind.HELPER]), (0, [RungKind.HELPER]),
    ]  # fmt: skip


def test_the_standard_loads_and_says_that_it_only_watches(loaded: Loaded) -> None:
    config = loaded(text=_here(STANDARD))
    assert describe(config)[0] == "cluster example: standard, one node, watched and explained"


def test_the_hybrid_shows_true_defaults(loaded: Loaded) -> None:
    """What it writes out for a key with a default is that default."""
    config = loaded(text=_here(HYBRID))
    assert policy.policy_of(config).rules == Rules()
    assert set(_said_and_not_default(config)) == {
        "sites", "canary", "endpoints", "dns", "imaps.login", "imaps.tls_name", "smtp.starttls",
    }  # fmt: skip


def _said_and_not_default(config: Config) -> list[str]:
    found = [key for key in ("automation", "coordination", "observers", "policy") if _differs(config, key)]
    found += [key for key in ("sites", "canary", "endpoints", "dns") if _differs(config, key)]
    for name, service in config.services.items():
        found += [f"{name}.{key}" for key in service.probe.model_fields_set if _differs(service.probe, key)]
    return found


def _differs(section: Section, key: str) -> bool:
    default = type(section).model_fields[key].get_default(call_default_factory=True)
    return bool(getattr(section, key) != default)


def _keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {key for one in value.values() for key in _keys(one)}
    return {key for one in value for key in _keys(one)} if isinstance(value, list) else set()


def _sections(kind: type[Section] = Section) -> list[type[Section]]:
    return [each for sub in kind.__subclasses__() for each in (sub, *_sections(sub))]


def test_the_hybrid_shows_every_key_there_is_and_the_cluster_what_only_that_has() -> None:
    """As a value, or in a comment."""
    known = {key for section in _sections() for key in section.model_fields}
    texts = (HYBRID, CLUSTER)
    words = {word for text in texts for word in re.findall(r"([a-z_0-9]+):", text)}
    words |= {key for text in texts for key in _keys(yaml.safe_load(text))}
    # Named in `Default:` comments or self-evident from the line above them.
    assert sorted(known - words) == ["state_file"]


def test_the_hybrid_with_its_comments_taken_up_loads_as_well(loaded: Loaded) -> None:
    """The embedded server, commented out, is right when it is written out."""
    lines = HYBRID.splitlines()
    begin = next(n for n, line in enumerate(lines) if line.startswith("  # local:"))
    end = next(n for n in range(begin, len(lines)) if not lines[n].startswith("  # "))
    taken = [line.replace("  # ", "  ", 1) for line in lines[begin:end]]
    config = loaded(text=_here("\n".join([*lines[:begin], *taken, *lines[end:]])))
    assert config.dns["local"].embedded is not None
    assert config.dns["local"].zone == "mail.example.com"


def test_the_hybrid_with_its_lag_measured_over_ssh_shows_true_defaults(loaded: Loaded, etc: Path) -> None:
    """The other way to measure, commented out, is right when it takes the place of doveadm."""
    lines = HYBRID.splitlines()
    begin = lines.index("  # ssh:")
    end = lines.index("", begin)
    taken = [line.replace("  # ", "  ", 1) for line in lines[begin:end]]
    first = lines.index("  doveadm:")
    (etc / "lag_key").write_text((etc / "ssh_key").read_text())
    (etc / "lag_key").chmod(0o600)
    config = loaded(text=_here("\n".join([*lines[:first], *taken, *lines[end:]])))
    assert config.warnings == ()
    assert config.replication is not None
    assert config.replication.ssh == LagSsh(
        key_file=str(etc / "lag_key"), known_hosts_file=str(etc / "known_hosts")
    )
    assert "  replication: ssh mailward-lag@192.0.2.10 port 22" in describe(config)


def test_config_check_says_what_the_hybrid_does_in_eighty_columns(loaded: Loaded) -> None:
    lines = describe(loaded(text=_here(HYBRID)))
    assert max(map(len, lines)) <= 80
    assert lines == [
        "cluster example: hybrid, 2 nodes; mailward only observes (automation: observe)",
        "  a service may be down 1 s, 15 s during a restart the node reports",
        "node mail-a in north: 192.0.2.10 2001:db8:a::10",
        "  helper: ssh mailward@192.0.2.10 port 22",
        "  replication: doveadm at http://192.0.2.10:8080",
        "node mail-b in south: 198.51.100.10 2001:db8:b::10",
        "  helper: ssh mailward@198.51.100.10 port 22",
        "  replication: doveadm at http://198.51.100.10:8080",
        "service smtp: smtp, port 25, every 3 s, no login",
        "service submission: submission, port 587, every 3 s, login canary@example.com",
        "service imaps: imaps, port 993, every 3 s, login canary@example.com",
        "endpoint mail.example.com: mail-a, mail-b",
        "  for imaps, submission; published in primary, TTL 60 s",
        "endpoint mx.example.com: mail-a, mail-b",
        "  for smtp; published in primary, TTL 60 s",
        "dns primary: zone example.com, updates to 192.0.2.53:53",
        "  verified on 192.0.2.53:53 198.51.100.53:53",
    ]


def test_config_check_says_that_servers_not_listed_are_found(loaded: Loaded) -> None:
    assert (
        describe(loaded(text=_here(WITH_KEYS)))[-1] == "  verified on 192.0.2.53:53 and those the zone names"
    )


@pytest.mark.parametrize(
    "text", [HYBRID, MINIMAL, CLUSTER, STANDARD], ids=["hybrid", "hybrid-minimal", "cluster", "standard"]
)
def test_a_new_install_only_observes(loaded: Loaded, text: str) -> None:
    text = text if "helper:" in text else WITH_KEYS
    assert loaded(text=_here(text)).automation == "observe"


def test_config_check_says_what_is_not_done(loaded: Loaded) -> None:
    text = """\
cluster: one
deployment: hybrid
automation: act
observers: [{name: watch, node: a}]
helper: none
nodes:
  a: {site: x, addresses: [192.0.2.1], hostname: a.example.com, probe_address: 10.0.0.1}
  b: {site: y, addresses: [192.0.2.2], hostname: b.example.com}
replication: none
services: {imap: {}}
endpoints: {mail.example.com: {services: [imap]}}
dns: {here: {embedded: {zone: mail.example.com, ns: [ns.example.com], listen: ["[::]:53"]}}}
"""
    assert describe(loaded(text=text)) == [
        "cluster one: hybrid, 2 nodes; mailward only observes, because it runs on a",
        "  a service may be down 1 s, 15 s during a restart the node reports",
        "node a in x: 192.0.2.1",
        "  probed at 10.0.0.1",
        "  helper: none, so its client ports are never closed",
        "  replication: none, so it returns without catching up",
        "node b in y: 192.0.2.2",
        "  helper: none, so its client ports are never closed",
        "  replication: none, so it returns without catching up",
        "service imap: imap, port 143, every 3 s, no login",
        "endpoint mail.example.com: a, b",
        "  for imap; published in here, TTL 60 s",
        "dns here: zone mail.example.com, answered here on [::]:53",
        "warning: canary: no account: probes cannot log in, and a server that greets may still serve nobody",
    ]
