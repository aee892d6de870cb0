"""What an audit's report says to a person, to a program, and by its exit code."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mailward.app.commands.auditing import MOST_MAILBOXES, MOST_SHOWN, tell
from mailward.app.exits import Exit
from mailward.replication.audit.auditor import Audited, Report
from mailward.replication.audit.compare import Finding, Kind

ANNA, BERT = Audited("anna@example.test", (2, 2)), Audited("bert@example.test", (3, 2))
MISSING = Finding("INBOX", Kind.MISSING, "mail-b", "g7", "UID 14 at mail-a")
DIFFERS = replace(BERT, findings=(MISSING,), counts={"missing": 1}, differs=True, waits_at=("mail-a",))
UNREAD = replace(BERT, unread="mail-b: command: fetch: exit status 75")


def report(*audited: Audited, **more: object) -> Report:
    return replace(Report(("mail-a", "mail-b"), len(audited), audited), **more)  # type: ignore[arg-type]


def test_the_same_mail_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert tell(report(ANNA, replace(BERT, messages=(3, 3))), as_json=False) is Exit.DONE
    assert capsys.readouterr().out == "mail-a and mail-b hold the same mail: 2 mailboxes, 5 messages.\n"


def test_what_differs_is_told_with_what_it_may_mean(capsys: pytest.CaptureFixture[str]) -> None:
    assert tell(report(ANNA, DIFFERS), as_json=False) is Exit.FAILED
    assert capsys.readouterr().out == (
        "mail-a and mail-b: of 2 mailboxes 1 agree, 1 differ, 0 could not be read.\n"
        "\n"
        "bert@example.test: 1 finding; its replication waits at mail-a\n"
        "  INBOX: message not at mail-b: UID 14 at mail-a (GUID g7)\n"
        "\n"
        "What is on one node only is lost on the other, on its way to it, or was deleted there.\n"
        "`mailward status` shows whether replication is behind; audit again when it is not.\n"
    )


def test_what_could_not_be_read_is_neither_well_nor_a_difference(capsys: pytest.CaptureFixture[str]) -> None:
    stopped = report(ANNA, UNREAD, asked=7, stopped="mail-b did not answer 3 times in a row")
    assert tell(stopped, as_json=False) is Exit.UNFINISHED
    assert capsys.readouterr().out == (
        "mail-a and mail-b: of 7 mailboxes 1 agree, 0 differ, 1 could not be read, 5 were not looked at.\n"
        "Stopped: mail-b did not answer 3 times in a row\n"
        "\n"
        "bert@example.test could not be read: mail-b: command: fetch: exit status 75\n"
    )


def test_what_both_have_twice_is_told_and_well(capsys: pytest.CaptureFixture[str]) -> None:
    twice = Finding("INBOX", Kind.DUPLICATED, "", "g7", "UID 1, 5")
    noted = replace(ANNA, findings=(twice,), counts={"duplicated": 1})
    assert tell(report(noted), as_json=False) is Exit.DONE
    assert "  INBOX: message several times, on both nodes: UID 1, 5 (GUID g7)\n" in capsys.readouterr().out


def test_the_screen_has_an_end(capsys: pytest.CaptureFixture[str]) -> None:
    """Very many mailboxes of very many findings, all of which are counted."""
    much = replace(DIFFERS, findings=(MISSING,) * 100, counts={"missing": 5000})
    tell(report(*[much] * 1000), as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < (MOST_MAILBOXES + 1) * (MOST_SHOWN + 3)
    assert "  and 4,980 more" in lines
    assert "... and 950 more; --json has them" in lines


def test_names_from_a_server_cannot_paint_the_screen(capsys: pytest.CaptureFixture[str]) -> None:
    evil = replace(
        DIFFERS, mailbox="a\x1b[2Jb\n", findings=(replace(MISSING, folder="x\x1b[31m", what="g\r"),)
    )
    tell(report(evil), as_json=False)
    assert not {"\x1b", "\r"} & set(capsys.readouterr().out)


def test_a_program_gets_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        tell(report(ANNA, DIFFERS, asked=3, stopped="interrupted", interrupted=True), as_json=True)
        is Exit.INTERRUPTED
    )
    assert json.loads(capsys.readouterr().out) == {
        "nodes": ["mail-a", "mail-b"],
        "agrees": False,
        "asked": 3,
        "audited": 2,
        "differ": 1,
        "unread": 0,
        "stopped": "interrupted",
        "found": {"missing": 1},
        "mailboxes": [
            {
                "mailbox": "bert@example.test",
                "messages": {"mail-a": 3, "mail-b": 2},
                "differs": True,
                "unread": "",
                "replication_waits_at": ["mail-a"],
                "found": {"missing": 1},
                "findings": [
                    {
                        "folder": "INBOX",
                        "kind": "missing",
                        "node": "mail-b",
                        "guid": "g7",
                        "detail": "UID 14 at mail-a",
                    }
                ],
            }
        ],
    }
