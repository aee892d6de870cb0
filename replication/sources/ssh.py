"""doveadm through a second SSH forced command, for who does not open the HTTP API.

mailward's own SSH key runs `mailward-node` and nothing else, so this takes another key whose forced
command is `mailward-doveadm`, beside this file: a shell script that knows these questions and
refuses every other word. It says how to install it. Each question is a command of its own. How SSH is
spoken is injected: this module never imports a fencing rung.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from mailward.replication.sources.doveadm import DoveadmError, Problem, Question, Take, status_text
from mailward.replication.sources.rows import CliRows

Run = Callable[[Sequence[str]], Awaitable[tuple[int | None, bytes]]]
"""Runs words on the node: exit status and standard output. None: no connection, or killed."""

NOT_ALLOWED = 64
TEMPORARY_FAILURE = 75


class Ssh:
    """`run` must bound what it reads, and should send the words joined as a shell would need them."""

    name = "doveadm by SSH"

    def __init__(self, run: Run) -> None:
        self._run = run

    async def ask(self, questions: Sequence[Question], take: Take, deadline_s: float) -> None:
        try:
            async with asyncio.timeout(deadline_s):
                for question in questions:
                    self._read(question, *await self._run(question.words), take)
        except TimeoutError as error:
            raise DoveadmError(Problem.TIMEOUT, f"no whole answer within {deadline_s:g} s") from error
        except OSError as error:
            raise DoveadmError(
                Problem.UNREACHABLE, f"SSH: {error.strerror or type(error).__name__}"
            ) from error

    def _read(self, question: Question, status: int | None, output: bytes, take: Take) -> None:
        command = " ".join(question.words)
        if status is None:
            raise DoveadmError(Problem.UNREACHABLE, f"`{command}` could not be run by SSH")
        if status == NOT_ALLOWED:
            hint = ": an older mailward-doveadm, or a name it does not take?" if question.of_mailbox else ""
            raise DoveadmError(Problem.DENIED, f"the forced command does not allow `{command}`{hint}")
        if status == TEMPORARY_FAILURE and not question.of_mailbox:
            raise DoveadmError(Problem.CLOSED, f"`{command}`: the replicator does not answer (status 75)")
        if status != 0:
            raise DoveadmError(Problem.COMMAND, f"`{command}`: {status_text(question, status)}")
        rows = CliRows()
        for row in rows.feed(output):
            take(question, row)
        rows.finish()
