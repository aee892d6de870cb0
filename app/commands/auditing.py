"""`mailward replication audit`: whether both nodes hold the same mail. It asks the nodes, no daemon."""

import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import typer

from mailward.app import compose, terminal
from mailward.app.exits import Exit
from mailward.app.wording import printable
from mailward.configs import effective
from mailward.configs.loading import load
from mailward.configs.schema import Config
from mailward.model.errors import ConfigError
from mailward.replication.audit.auditor import AT_ONCE, Audited, Auditor, Report
from mailward.replication.audit.compare import Finding, Kind

MOST_SHOWN, MOST_MAILBOXES = 20, 50
"""Findings of one mailbox, and mailboxes, on the screen; --json has more."""
MOST_BYTES = 64 * 1024 * 1024
"""Of one mailbox, by SSH; some 600 000 messages."""

LONGEST = 400

_SAID = {
    Kind.NO_FOLDER: "folder not at {node}",
    Kind.FOLDER_GUID: "made on both nodes: two GUIDs",
    Kind.UID_VALIDITY: "two UIDVALIDITY values",
    Kind.MISSING: "message not at {node}",
    Kind.DUPLICATED: "message more often at {node}",
    Kind.RENUMBERED: "message with other UIDs",
    Kind.FLAGS: "message with other flags",
}


def audit(file: Path, named: Sequence[str], *, sample: int | None, as_json: bool) -> Exit:
    """Compare the mailboxes `named`, or `sample` of them by chance, or all."""
    return tell(asyncio.run(_audit(load(file), named, sample)), as_json=as_json)


def tell(report: Report, *, as_json: bool) -> Exit:
    """Print it; the exit code says what it comes to."""
    if as_json:
        typer.echo(json.dumps(_object(report)))
    else:
        terminal.show("\n".join(_lines(report)) + "\n")
    if report.interrupted:
        return Exit.INTERRUPTED
    if report.differing:
        return Exit.FAILED
    return Exit.DONE if report.agrees else Exit.UNFINISHED


async def _audit(config: Config, named: Sequence[str], sample: int | None) -> Report:
    nodes = [name for name in config.nodes if effective.replication_of(config, name) is not None]
    if len(nodes) != 2:
        raise ConfigError(
            (f"replication: an audit compares two nodes that replicate, here are {len(nodes)}",)
        )
    runners = compose.runners_of(config, MOST_BYTES)
    progress = _Progress()
    try:
        doveadms = {name: compose.doveadm_of(config, name, runners) for name in nodes}
        at_once = 1 if runners else AT_ONCE  # one that breaks off takes the connection with it
        auditor = Auditor(doveadms, told=progress, at_once=at_once)
        names = list(dict.fromkeys(named)) or await auditor.mailboxes()
        if sample is not None and sample < len(names):
            names = sorted(random.sample(names, sample))
        progress.of = len(names)
        return await auditor.audit(names)
    finally:
        progress.end()
        for runner in runners.values():
            await runner.close()


class _Progress:
    """One line that is written over, for a person who looks on."""

    def __init__(self) -> None:
        self.of = 0
        self._audited = self._differ = 0
        self._shown = sys.stderr.isatty()

    def __call__(self, audited: Audited) -> None:
        self._audited += 1
        self._differ += audited.differs
        if self._shown:
            told = f"\r{self._audited:,} of {self.of:,} audited, {self._differ:,} differ"
            typer.echo(told, nl=False, err=True)

    def end(self) -> None:
        if self._shown:
            typer.echo("\r\x1b[K", nl=False, err=True)


def _lines(report: Report) -> Iterator[str]:
    """The screen."""
    yield _verdict(report)
    if report.stopped:
        yield f"Stopped: {printable(report.stopped, LONGEST)}"
    found = [each for each in report.audited if each.findings]
    for each in found[:MOST_MAILBOXES]:
        yield ""
        yield from _of_mailbox(each)
    yield from _rest(len(found))
    if report.unread:
        yield ""
    for each in report.unread[:MOST_MAILBOXES]:
        yield f"{printable(each.mailbox)} could not be read: {printable(each.unread, LONGEST)}"
    yield from _rest(len(report.unread))
    if report.differing:
        yield ""
        yield "What is on one node only is lost on the other, on its way to it, or was deleted there."
        yield "`mailward status` shows whether replication is behind; audit again when it is not."


def _verdict(report: Report) -> str:
    where, asked = " and ".join(report.nodes), _counted(report.asked, "mailbox", "mailboxes")
    if report.agrees:
        messages = sum(max(each.messages) for each in report.audited)
        return f"{where} hold the same mail: {asked}, {_counted(messages, 'message', 'messages')}."
    agree = sum(not (each.differs or each.unread) for each in report.audited)
    left = report.asked - len(report.audited)
    parts = [
        f"{agree:,} agree", f"{len(report.differing):,} differ", f"{len(report.unread):,} could not be read",
        *([f"{left:,} were not looked at"] if left else []),
    ]  # fmt: skip
    return f"{where}: of {asked} {', '.join(parts)}."


def _rest(number: int) -> Iterator[str]:
    if number > MOST_MAILBOXES:
        yield f"... and {number - MOST_MAILBOXES:,} more; --json has them"


def _of_mailbox(audited: Audited) -> Iterator[str]:
    total = sum(audited.counts.values())
    waits = f"; its replication waits at {' and '.join(audited.waits_at)}" if audited.waits_at else ""
    yield f"{printable(audited.mailbox)}: {_counted(total, 'finding', 'findings')}{waits}"
    yield from (f"  {_said(finding)}" for finding in audited.findings[:MOST_SHOWN])
    if total > MOST_SHOWN:
        yield f"  and {total - MOST_SHOWN:,} more"


def _said(finding: Finding) -> str:
    what = _SAID[finding.kind].format(node=finding.node)
    if not finding.is_difference:
        what = "message several times, on both nodes"
    said = ": ".join(part for part in (printable(finding.folder), what, printable(finding.detail)) if part)
    return f"{said} (GUID {printable(finding.what)})" if finding.what else said


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _object(report: Report) -> dict[str, object]:
    """Mailboxes of which nothing is to be said are left out."""
    kinds: Counter[str] = Counter()
    for each in report.audited:
        kinds.update(each.counts)
    return {
        "nodes": list(report.nodes),
        "agrees": report.agrees,
        "asked": report.asked,
        "audited": len(report.audited),
        "differ": len(report.differing),
        "unread": len(report.unread),
        "stopped": report.stopped,
        "found": dict(sorted(kinds.items())),
        "mailboxes": [
            {
                "mailbox": each.mailbox,
                "messages": dict(zip(report.nodes, each.messages, strict=False)),
                "differs": each.differs,
                "unread": each.unread,
                "replication_waits_at": list(each.waits_at),
                "found": dict(each.counts),
                "findings": [_row(finding) for finding in each.findings],
            }
            for each in report.audited
            if each.findings or each.unread
        ],
    }


def _row(finding: Finding) -> dict[str, str]:
    row = asdict(finding)
    row["guid"] = row.pop("what")
    return row
