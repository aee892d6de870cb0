"""Which of the observers a daemon is, and whom it lets in."""

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.lab.harness.material import Authority

from mailward.app.peering import listen_of, observer_of, peers_of
from mailward.configs.loading import load
from mailward.configs.schema import Config
from mailward.controller.clock import SystemClock
from mailward.controller.coordination.answering import no_answer
from mailward.model.errors import ConfigError

OBSERVERS = [
    {"name": "mail-a", "address": "127.0.0.1:7443"},
    {"name": "mail-b", "address": "[::1]:7444"},
    {"name": "witness"},
]


def config(folder: Path, **changes: Any) -> Config:
    Authority(folder).issue(folder, ["mail-a"], "127.0.0.1")
    tls = {"ca_file": "ca.crt", "cert_file": "tls.crt", "key_file": "tls.key"}
    document: Mapping[str, Any] = {
        "cluster": "lab",
        "deployment": "hybrid",
        "nodes": {
            name: {"site": name, "addresses": [address], "hostname": f"{name}.example.com"}
            for name, address in (("mail-a", "192.0.2.1"), ("mail-b", "192.0.2.2"))
        },
        "helper": "none",
        "replication": "none",
        "endpoints": {"mail.example.com": {"services": ["smtp"]}},
        "coordination": {"zookeeper": {"servers": ["zk:2281"], "tls": tls}},
        "observers": OBSERVERS,
        "observer": "mail-a",
    } | changes
    (folder / "mailward.yaml").write_text(yaml.safe_dump(document))
    return load(folder / "mailward.yaml")


def test_a_daemon_is_the_observer_that_the_file_says_or_that_has_its_host_s_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert observer_of(config(tmp_path)) == "mail-a"
    monkeypatch.setattr(socket, "gethostname", lambda: "Mail-A.example.com")
    assert observer_of(config(tmp_path, observer=None)) == "mail-a"


def test_where_nothing_says_it_that_is_a_mistake_of_the_file_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    with pytest.raises(
        ConfigError, match="observer: missing: this host is 'elsewhere'; write which of mail-a"
    ):
        observer_of(config(tmp_path, observer=None))


def test_it_listens_at_the_port_of_its_address_and_lets_in_every_other_observer(tmp_path: Path) -> None:
    loaded = config(tmp_path)
    assert listen_of(loaded) == (None, 7443)
    peers = peers_of(loaded, "n", SystemClock(), lambda: None, lambda: None, no_answer)
    assert [(each.name, each.host, each.port) for each in peers._peers] == [("mail-b", "::1", 7444)]
    assert peers._answering._admitted == {"mail-b", "witness"}


def test_who_has_no_address_listens_nowhere(tmp_path: Path) -> None:
    Authority(tmp_path).issue(tmp_path, ["witness"], "127.0.0.1")
    found = config(tmp_path)
    assert listen_of(found.model_copy(update={"observer": "witness"})) is None
