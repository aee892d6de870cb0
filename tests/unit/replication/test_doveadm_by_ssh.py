"""The SSH channel, and the forced command that stands at its other end."""

import asyncio
import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from mailward.replication.audit.contents import questions
from mailward.replication.sources import ssh
from mailward.replication.sources.doveadm import (
    OVERVIEW,
    QUESTIONS,
    USERS,
    DoveadmError,
    Problem,
    Question,
    Row,
)
from mailward.replication.sources.ssh import Run, Ssh

FORCED_COMMAND = Path(ssh.__file__).with_name("mailward-doveadm")


def answering(status: int | None, output: bytes = b"") -> Run:
    async def run(words: Sequence[str]) -> tuple[int | None, bytes]:
        return status, output

    return run


async def ask(run: Run, deadline_s: float = 1.0) -> list[Row]:
    rows: list[Row] = []
    await Ssh(run).ask([OVERVIEW], lambda question, row: rows.append(row), deadline_s)
    return rows


async def test_rows_are_read_from_standard_output() -> None:
    assert await ask(answering(0, b'[{"field":"a","value":"1"}]')) == [{"field": "a", "value": "1"}]


@pytest.mark.parametrize(
    ("run", "problem"),
    [
        (answering(None), Problem.UNREACHABLE),
        (answering(64), Problem.DENIED),
        (answering(75), Problem.CLOSED),
        (answering(1), Problem.COMMAND),
        (answering(0), Problem.PROTOCOL),
        (answering(0, b"Fatal: net_connect_unix() failed"), Problem.PROTOCOL),
        (answering(0, b'[{"field":"a"'), Problem.PROTOCOL),
        (answering(0, b"[]]"), Problem.PROTOCOL),
        (answering(0, b"[][]"), Problem.PROTOCOL),
    ],
)
async def test_failures_are_classed(run: Run, problem: Problem) -> None:
    with pytest.raises(DoveadmError) as caught:
        await ask(run)
    assert caught.value.problem is problem


@pytest.mark.parametrize(
    ("status", "problem", "said"),
    [
        (75, Problem.COMMAND, r"exit status 75 \(a failure for now\)"),
        (64, Problem.DENIED, "an older mailward-doveadm, or a name it does not take"),
    ],
)
async def test_what_fails_for_a_mailbox_is_not_said_of_the_replicator(
    status: int, problem: Problem, said: str
) -> None:
    with pytest.raises(DoveadmError, match=said) as caught:
        await Ssh(answering(status)).ask(questions("anna"), lambda question, row: None, 1.0)
    assert caught.value.problem is problem


async def test_a_hanging_command_ends_at_the_deadline() -> None:
    async def hang(words: Sequence[str]) -> tuple[int | None, bytes]:
        await asyncio.Event().wait()
        return 0, b""

    with pytest.raises(DoveadmError, match=r"no whole answer within 0\.01 s"):
        await ask(hang, 0.01)


async def test_a_lost_connection_is_a_value_of_ours() -> None:
    async def broken(words: Sequence[str]) -> tuple[int | None, bytes]:
        raise ConnectionResetError(104, "Connection reset by peer")

    with pytest.raises(DoveadmError, match="SSH: Connection reset by peer"):
        await ask(broken)


@pytest.fixture
def doveadm(tmp_path: Path) -> dict[str, str]:
    """An environment whose doveadm prints its arguments, one a line."""
    program = tmp_path / "doveadm"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}"}


def force(sent: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(FORCED_COMMAND), sent]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=10, check=False)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_the_forced_command_runs_each_question_quoted_or_not(
    question: object, doveadm: dict[str, str]
) -> None:
    words = question.words  # type: ignore[attr-defined]
    for sent in (" ".join(words), shlex.join(words)):
        done = force(sent, doveadm)
        assert done.returncode == 0
        assert done.stdout.split("\n")[:-1] == ["-f", "json", *words]


@pytest.mark.parametrize("question", questions("anna.b+x@example.test"), ids=lambda question: question.name)
def test_the_forced_command_reads_a_mailbox_for_an_audit(question: Question, doveadm: dict[str, str]) -> None:
    done = force(shlex.join(question.words), doveadm)
    assert (done.returncode, done.stdout.split("\n")[:-1]) == (0, ["-f", "json", *question.words])


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "doveadm user *",
        "replicator",
        "replicator status u1",
        "replicator status * ; id",
        "replicator status *\nid",
        "replicator remove *",
        "replicator status $(id)",
        "replicator  status",
        "service stop replicator",
        "stop",
        "fetch -u * 'mailbox mailbox-guid guid uid flags' ALL",
        "fetch -u -A 'mailbox mailbox-guid guid uid flags' ALL",
        "fetch -u  'mailbox mailbox-guid guid uid flags' ALL",
        "fetch -u anna 'text' ALL",
        "fetch -u anna bert 'mailbox mailbox-guid guid uid flags' ALL",
        "fetch -u $(id) 'mailbox mailbox-guid guid uid flags' ALL",
        "fetch -u anna\nid 'mailbox mailbox-guid guid uid flags' ALL",
        "fetch -u 'an;id' 'mailbox mailbox-guid guid uid flags' ALL",
        "mailbox status -u ? 'guid uidvalidity' '*'",
        "mailbox delete -u anna INBOX",
    ],
)
def test_the_forced_command_runs_nothing_else(sent: str, doveadm: dict[str, str]) -> None:
    done = force(sent, doveadm)
    assert (done.returncode, done.stdout) == (64, "")


def test_the_list_is_asked_for_with_the_only_mask_there_is() -> None:
    assert USERS.words == ("replicator", "status", "*")
