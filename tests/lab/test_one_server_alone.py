"""`standard`: one mail server, watched from elsewhere. What fails is seen, told and explained; nothing is
moved, and nothing on the server or in DNS is touched. The configuration is the one that is ready to copy.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import yaml
from tests.lab.harness import helper
from tests.lab.harness.cluster import Cluster
from tests.lab.harness.controller import Controller
from tests.lab.harness.layout import ENDPOINTS, ROOT
from tests.lab.harness.publication import Publication
from tests.lab.harness.waiting import wait_clear, wait_until

FILE = ROOT / "configs" / "deployments" / "standard.yaml"
TOLD_WITHIN_S = 40


@pytest.fixture
def controller(cluster: Cluster) -> Iterator[Controller]:
    """As in the file, but for where the server is, whom to log in as, and where the daemon keeps things."""
    shipped = yaml.safe_load(FILE.read_text())
    running = Controller(cluster)
    ours = running.values
    shipped["nodes"]["mail"] |= {
        "addresses": [cluster.mail_a.address], "hostname": cluster.mail_a.hostname,
    }  # fmt: skip
    shipped["canary"] = ours["canary"]
    running.configure({**shipped, **{key: ours[key] for key in ("tls", "coordination", "api")}})
    with running:
        yield running


def checked(controller: Controller) -> str:
    """As a monitoring system asks: '' if it is well."""
    done = controller.cli("status", "--check")
    return done.stdout + done.stderr if done.returncode else ""


def test_what_fails_is_told_and_nothing_is_moved(cluster: Cluster, controller: Controller) -> None:
    node = cluster.mail_a
    wait_clear(lambda: checked(controller), "it is well", TOLD_WITHIN_S)
    with Publication(cluster) as dns:
        node.kill_unit("dovecot")
        wait_until(lambda: checked(controller), "it is told", TOLD_WITHIN_S)
        shown, explained = controller.cli("status").stdout, controller.cli("explain").stdout
        print(shown, explained)
        assert "mail fails" in shown, shown
        assert "imaps DOWN" in " ".join(shown.split()), shown
        assert "successor" in explained, explained
        status = controller.status()
        assert status["operation"] is None
        assert status["ended"] == []
        assert controller.get("/serving")[0] == 503
        refused = controller.cli("failover", "mail", "--wait")
        assert refused.returncode == 1, refused.stdout
        node.heal()
        wait_clear(lambda: checked(controller), "it is well", TOLD_WITHIN_S)
        assert dns.gaps_of(node.address, ENDPOINTS) == []
    hello, _ = helper.ask(node, cluster.ssh, do="status")
    assert hello["token"] is None, json.dumps(hello)
