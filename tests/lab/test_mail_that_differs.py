"""`mailward replication audit` against mailboxes that were made to differ: every difference is reported, and
those that replication mends are gone afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.lab.harness.cluster import Cluster
from tests.lab.harness.controller import Controller
from tests.lab.harness.layout import DOMAIN, DOVEADM_API_KEY, DOVEADM_HTTP, DSYNC
from tests.lab.harness.node import STORE, MailNode
from tests.lab.harness.waiting import wait_clear

from mailward.replication.audit.auditor import Auditor
from mailward.replication.sources import ssh
from mailward.replication.sources.http_api import HttpApi
from mailward.replication.sources.ssh import Ssh

A, B = "mail-a", "mail-b"
UNREPLICATED = f"""table inet lab_unreplicated {{
chain incoming {{
type filter hook input priority -300; policy accept;
tcp dport {DSYNC} drop
}}
}}
"""

Differences = set[tuple[str, str, str, str]]
"""Mailbox, folder, kind, node."""


@dataclass(frozen=True)
class Scene:
    cluster: Cluster
    controller: Controller

    def audit(self, *words: str) -> tuple[int, dict[str, Any]]:
        told = self.controller.cli("replication", "audit", *words, "--json")
        assert told.stdout, told.stderr
        return told.returncode, json.loads(told.stdout)

    def differences(self) -> Differences:
        _, document = self.audit()
        assert not document["stopped"]
        assert not [each for each in document["mailboxes"] if each["unread"]]
        return {
            (each["mailbox"].split("@")[0], found["folder"], found["kind"], found["node"])
            for each in document["mailboxes"]
            for found in each["findings"]
        }


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    """A cluster of its own: some of what is done to it cannot be undone."""
    with Cluster(f"differs-{os.getpid()}") as cluster:
        controller = Controller(cluster)
        yield Scene(cluster, controller)
        controller.__exit__()


def save(node: MailNode, user: str, name: str, folder: str = "INBOX") -> None:
    text = f"Message-ID: <{name}@{DOMAIN}>\\nSubject: {name}\\n\\n{name}\\n"
    node.shell(f"printf '{text}' | doveadm save -u {user}@{DOMAIN} -m {folder}")


def doveadm(node: MailNode, *words: str, user: str) -> None:
    """The verb's own words are the first one or two."""
    verbs, rest = (words[:2], words[2:]) if words[0] in ("mailbox", "flags") else (words[:1], words[1:])
    node.run("doveadm", *verbs, "-u", f"{user}@{DOMAIN}", *rest)


USERS = ("left", "flags", "uid", "gone", "names", "folder", "twice", "inbox")


def test_every_difference_is_reported_and_what_replication_mends_is_gone_afterwards(scene: Scene) -> None:
    cluster = scene.cluster
    a, b = cluster.mail_a, cluster.mail_b
    u = {what: f"u{number + 10}" for number, what in enumerate(USERS)}
    for user in u.values():
        save(a, user, "common")
    for what in ("names", "folder"):
        doveadm(a, "mailbox", "create", "Plans", user=u[what])
        save(a, u[what], "plan", "Plans")
    cluster.drain_replication()
    code, document = scene.audit()
    assert (code, document["agrees"], document["mailboxes"]) == (0, True, []), document

    for node in (a, b):
        node.run("nft", UNREPLICATED)
    save(a, u["left"], "only-here")
    doveadm(a, "flags", "add", "\\Seen", "ALL", user=u["flags"])
    doveadm(b, "flags", "add", "\\Answered", "ALL", user=u["flags"])
    save(a, u["uid"], "here")
    save(b, u["uid"], "there")
    doveadm(a, "expunge", "mailbox", "INBOX", "ALL", user=u["gone"])
    doveadm(b, "flags", "add", "\\Flagged", "ALL", user=u["gone"])
    doveadm(a, "mailbox", "rename", "Plans", "PlansA", user=u["names"])
    doveadm(b, "mailbox", "rename", "Plans", "PlansB", user=u["names"])
    doveadm(a, "mailbox", "delete", "Plans", user=u["folder"])
    save(b, u["folder"], "late", "Plans")
    save(a, u["twice"], "delivered-twice")
    save(b, u["twice"], "delivered-twice")
    for node in (a, b):
        node.run("rm", "-rf", f"{STORE}/{u['inbox']}")
        save(node, u["inbox"], f"first-at-{node.name}")

    either = [(node, u[what], "INBOX", "missing") for what in ("uid", "twice") for node in (A, B)]
    assert scene.differences() == {
        (u["left"], "INBOX", "missing", B),
        (u["flags"], "INBOX", "flags", ""),
        *((user, folder, kind, node) for node, user, folder, kind in either),
        (u["gone"], "INBOX", "missing", A),
        *((u["names"], "PlansA", kind, B) for kind in ("no-folder", "missing")),
        *((u["names"], "PlansB", kind, A) for kind in ("no-folder", "missing")),
        *((u["folder"], "Plans", kind, A) for kind in ("no-folder", "missing")),
        (u["inbox"], "INBOX", "folder-guid", ""),
        (u["inbox"], "INBOX", "missing", A),
        (u["inbox"], "INBOX", "missing", B),
    }
    one = scene.controller.cli("replication", "audit", f"{u['left']}@{DOMAIN}")
    assert one.returncode == 1
    assert f"INBOX: message not at {B}: UID 2 at {A} (GUID " in one.stdout

    for node in (a, b):
        node.run("nft", "delete table inet lab_unreplicated")
    wait_clear(lambda: left_over(scene, u["inbox"]), "all but the INBOX made on both nodes agrees again", 120)
    assert scene.differences() > {(u["inbox"], "INBOX", "folder-guid", "")}


def left_over(scene: Scene, user: str) -> str:
    """What differs in other mailboxes, after replication was asked for all of them."""
    for node in scene.cluster.nodes.values():
        node.replicate_all()
    return str(sorted(each for each in scene.differences() if each[0] != user) or "")


async def test_both_ways_to_doveadm_read_the_same(scene: Scene) -> None:
    """One node by the HTTP API against itself by the forced command."""
    node = scene.cluster.mail_a
    script = Path(ssh.__file__).with_name("mailward-doveadm").read_text()

    async def run(words: Sequence[str]) -> tuple[int | None, bytes]:
        command = ["sh", "-c", script, "mailward-doveadm", shlex.join(words)]
        code, (output, _) = await asyncio.to_thread(node.container.exec_run, command, demux=True)
        assert not isinstance(output, int)
        return code, output or b""

    api = HttpApi(f"http://{node.address}:{DOVEADM_HTTP}", DOVEADM_API_KEY)
    report = await Auditor({"by HTTP": api, "by SSH": Ssh(run)}).audit([f"u10@{DOMAIN}", f"u14@{DOMAIN}"])
    assert report.agrees, report
    assert all(count > 0 for each in report.audited for count in each.messages)


def test_a_node_whose_doveadm_is_down_is_named(scene: Scene) -> None:
    scene.cluster.mail_b.stop_unit("dovecot")
    told = scene.controller.cli("replication", "audit")
    assert (told.returncode, told.stdout) == (1, "")
    assert "mail-b does not list its mailboxes: refused: connection refused" in told.stderr


def test_a_mailbox_nobody_has_could_not_be_read(scene: Scene) -> None:
    scene.cluster.mail_b.start_unit("dovecot")
    scene.cluster.mail_b.wait_open()
    told = scene.controller.cli("replication", "audit", f"nobody@{DOMAIN}")
    assert told.returncode == 5
    assert "it has no such user" in told.stdout
