"""Each kind of mistake in node.json: the key, what was found, what would be right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mailward.fencing.node.config import load_config
from mailward.fencing.node.refusal import Refused

GOOD: dict[str, Any] = {
    "services": {"smtp": 25, "imaps": 993},
    "replication_ports": [12345],
    "peers": ["192.0.2.12", "2001:db8::12"],
    "units": {"dovecot": {"systemd": "dovecot.service"}, "postfix": {"status": ["svc", "status", "postfix"]}},
    "paths": {"mail": "/var/vmail"},
}


HOOK: dict[str, Any] = {"command": ["/usr/local/sbin/promote"], "verify": ["mountpoint", "/var/vmail"]}


def load(tmp_path: Path, document: object) -> Any:
    path = tmp_path / "node.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return load_config(str(path))


def test_a_good_file_is_read_with_its_defaults(tmp_path: Path) -> None:
    config = load(tmp_path, GOOD)
    assert config.services == {"smtp": 25, "imaps": 993}
    assert config.peers == ("192.0.2.12/32", "2001:db8::12/128")
    assert config.state_dir == "/var/lib/mailward-node"
    assert [(unit.name, unit.systemd, unit.status) for unit in config.units] == [
        ("dovecot", "dovecot.service", ()),
        ("postfix", None, ("svc", "status", "postfix")),
    ]


def test_services_alone_are_enough(tmp_path: Path) -> None:
    assert load(tmp_path, {"services": {"imaps": 993}}).peers == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"service": {}}, "service: unknown key; known are services, replication_ports, peers"),
        ({"services": {}}, "services: {} is not a table of client services and ports"),
        ({"services": {"imaps": "993"}}, 'services.imaps: "993" is not a port number from 1 to 65535'),
        ({"services": {"imaps": True}}, "services.imaps: true is not a port number from 1 to 65535"),
        ({"services": {"imaps": 70000}}, "services.imaps: 70000 is not a port number from 1 to 65535"),
        ({"services": {"imaps": 22}}, "services.imaps: 22 is not a client port: closing it would shut out"),
        ({"services": {"a": 993, "b": 993}}, "services.b: 993 is not a port of its own"),
        ({"services": {"IMAPS": 993}}, 'services.IMAPS: "IMAPS" is not a service name'),
        ({"replication_ports": [993]}, "services.imaps: 993 is also in replication_ports, never closed"),
        ({"replication_ports": 12345}, "replication_ports: 12345 is not a list"),
        (
            {"peers": ["mail-b"]},
            'peers[0]: "mail-b" is not an IP address or network; names are not looked up',
        ),
        ({"units": {"d": {"systemd": ""}}}, 'units.d.systemd: "" is not a unit name'),
        ({"units": {"d": {}}}, 'units.d: {} is not either {"systemd": "NAME.service"} or'),
        (
            {"units": {"d": {"status": "svc status"}}},
            'units.d.status: "svc status" is not a command as a list',
        ),
        (
            {"units": {"d": {"system": "x"}}},
            "units.d.system: unknown key; known are systemd, status, start, stop",
        ),
        ({"writers": ["lmtp"]}, 'writers[0]: "lmtp" is not one of units: dovecot, postfix'),
        ({"writers": ["lmtp"], "units": {}}, 'writers[0]: "lmtp" is not one of units: there are none'),
        ({"writers": "dovecot"}, 'writers: "dovecot" is not a list'),
        (
            {"writers": ["dovecot", "postfix"]},
            'writers[1]: "postfix" is not a unit that can be stopped: it needs "systemd", or "stop" and',
        ),
        ({"hooks": {"promoted": {}}}, "hooks.promoted: unknown key; known are promote, demote"),
        ({"hooks": []}, "hooks: [] is not a table"),
        ({"hooks": {"promote": []}}, "hooks.promote: [] is not a table"),
        (
            {"hooks": {"promote": {"verify": ["true"]}}},
            "hooks.promote.command: null is not there, and a hook",
        ),
        ({"hooks": {"demote": {"command": ["true"]}}}, "hooks.demote.verify: null is not there, and a hook"),
        (
            {"hooks": {"promote": HOOK | {"verify": "true"}}},
            'hooks.promote.verify: "true" is not a command as',
        ),
        ({"hooks": {"promote": HOOK | {"shell": 1}}}, "hooks.promote.shell: unknown key; known are command"),
        ({"hooks": {"promote": HOOK | {"timeout_s": 0}}}, "hooks.promote.timeout_s: 0 is not a number of 1"),
        ({"hooks": {"promote": HOOK | {"timeout_s": 121}}}, "hooks.promote.timeout_s: 121 is not a number"),
        ({"hooks": {"promote": HOOK | {"timeout_s": True}}}, "hooks.promote.timeout_s: true is not a number"),
        ({"paths": {"mail": "vmail"}}, 'paths.mail: "vmail" is not an absolute path'),
        ({"state_dir": 7}, "state_dir: 7 is not an absolute path"),
    ],
)
def test_a_mistake_is_named_with_what_would_be_right(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(Refused) as caught:
        load(tmp_path, {**GOOD, **change})
    assert caught.value.code == "config"
    assert f"node.json: {message}" in caught.value.message


def test_a_writer_is_a_unit_that_can_be_stopped_and_started(tmp_path: Path) -> None:
    commands = {verb: ["svc", verb, "postfix"] for verb in ("status", "start", "stop")}
    units = {"dovecot": {"systemd": "dovecot.service"}, "postfix": commands, "other": {"systemd": "x"}}
    config = load(tmp_path, {**GOOD, "units": units, "writers": ["postfix", "dovecot"]})
    assert [(unit.name, unit.start, unit.stop) for unit in config.writing] == [
        ("dovecot", (), ()),
        ("postfix", ("svc", "start", "postfix"), ("svc", "stop", "postfix")),
    ]


def test_a_hook_has_half_a_minute_unless_it_says_otherwise(tmp_path: Path) -> None:
    config = load(tmp_path, {**GOOD, "hooks": {"promote": HOOK, "demote": HOOK | {"timeout_s": 90}}})
    verify = ("mountpoint", "/var/vmail")
    assert config.hooks["promote"] == (("/usr/local/sbin/promote",), verify, 30.0)
    assert config.hooks["demote"].timeout_s == 90.0
    assert load(tmp_path, GOOD).hooks == {}


def test_all_mistakes_are_listed_at_once(tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        load(tmp_path, {"services": {"imaps": 0}, "peers": ["x", "y"], "typo": 1})
    assert len(caught.value.message.splitlines()) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "the file: [] is not a table"),
        ('{"services": {"a": 1, "a": 2}}', "not JSON: key 'a' appears twice"),
        ("[" * 100_000, "not JSON: nested too deeply"),
        (" " * 300_000, "larger than"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(Refused) as caught:
        load(tmp_path, text)
    assert message in caught.value.message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"absent\.json: No such file or directory"):
        load_config(str(tmp_path / "absent.json"))
