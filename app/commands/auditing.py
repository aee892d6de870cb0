"""`mailward replication audit`: whether both nodes hold the same mail. It asks the nodes, no daemon."""

import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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
from mailward.replication.audit.auditor import Audited, Auditor, Report
from mailward.replication.audit.compare import Finding, Kind

MOST_SHOWN = 20
"""Differences of one mailbox, on the screen; --json has all."""
LONGEST = 200

_SAID = {
    Kind.UNKNOWN_MAILBOX: "is not known to {node}",
    Kind.NO_FOLDER: "folder not at {node}",
    Kind.FOLDER_GUID: "made on both nodes: two GUIDs",
    Kind.UID_VALIDITY: "two UIDVALIDITY values",
    Kind.MISSING: "message missing at {node}",
    Kind.DUPLICATED: "message twice at {node}",
    Kind.RENUMBERED: "message with two UIDs",
    Kind.FLAGS: "message with different flags",
}


def audit(file: Path, named: Sequence[str], *, sample: int | None, as_json: bool) -> Exit:
    """Compare the mailboxes `named`, or `sample` of them by chance, or all."""
    report = asyncio.run(_audit(load(file), named, sample))
    if as_json:
        typer.echo(json.dumps(_object(report)))
    else:
        terminal.show("\n".join(_lines(report)) + "\n")
    return Exit.DONE if report.agrees else Exit.FAILED


async def _audit(config: Config, named: Sequence[str], sample: int | None) -> Report:
    nodes = [name for name in config.nodes if effective.replication_of(config, name) is not None]
    if len(nodes) != 2:
        raise ConfigError(
            (f"replication: an audit compares two nodes that replicate, here are {len(nodes)}",)
        )
    runners, progress = compose.runners_of(config), _Progress()
    try:
        doveadms = {name: compose.doveadm_of(config, name, runners) for name in nodes}
        auditor = Auditor(doveadms, told=progress)
        return await auditor.audit(_chosen(await auditor.mailboxes(), named, sample))
    finally:
        progress.end()
        for runner in runners.values():
            await runner.close()


def _chosen(
    known: Mapping[str, frozenset[str]], named: Sequence[str], sample: int | None
) -> dict[str, frozenset[str]]:
    strangers = [name for name in named if name not in known]
    if strangers:
        raise typer.BadParameter(
            f"no node replicates {printable(', '.join(strangers), LONGEST)}", param_hint="MAILBOX"
        )
    names = list(named) or list(known)
    if sample is not None and sample < len(names):
        names = sorted(random.sample(names, sample))
    return {name: known[name] for name in names}


class _Progress:
    """One line that is written over, for a person who looks on."""

    def __init__(self) -> None:
        self._audited = 0
        self._shown = sys.stderr.isatty()

    def __call__(self, _audited: Audited) -> None:
        self._audited += 1
        if self._shown:
            typer.echo(f"\r{self._audited} audited", nl=False, err=True)

    def end(self) -> None:
        if self._shown:
            typer.echo("\r\x1b[K", nl=False, err=True)


def _lines(report: Report) -> Iterator[str]:
    """The screen."""
    where = " and ".join(report.nodes)
    differ = [each for each in report.audited if each.findings]
    unread = [each for each in report.audited if each.unread]
    mailboxes = _counted(len(report.audited), "mailbox", "mailboxes")
    if report.agrees:
        messages = max((sum(counts) for counts in zip(*_messages(report), strict=True)), default=0)
        yield f"{where} hold the same mail: {mailboxes}, {_counted(messages, 'message', 'messages')}."
        return
    agree = len(report.audited) - len(differ) - len(unread)
    told = f"{agree} agree, {len(differ)} differ, {len(unread)} could not be read"
    yield f"{where}: {mailboxes} audited, {told}."
    for each in differ:
        yield ""
        yield f"{printable(each.mailbox)}: {_counted(len(each.findings), 'difference', 'differences')}"
        yield from (f"  {_said(finding)}" for finding in each.findings[:MOST_SHOWN])
        if len(each.findings) > MOST_SHOWN:
            yield f"  and {len(each.findings) - MOST_SHOWN} more; --json has all"
    if unread:
        yield ""
        yield from (
            f"{printable(each.mailbox)} could not be read: {printable(each.unread)}" for each in unread
        )
    if report.stopped:
        yield f"Stopped: {printable(report.stopped)}"
    if any(finding.kind is Kind.MISSING for each in differ for finding in each.findings):
        yield ""
        yield "What is missing may be on its way while `mailward status` shows a lag: then audit again."


def _messages(report: Report) -> Iterator[tuple[int, ...]]:
    return (each.messages for each in report.audited)


def _said(finding: Finding) -> str:
    what = _SAID[finding.kind].format(node=finding.node)
    parts = [printable(finding.folder), what, printable(finding.detail)]
    said = ": ".join(part for part in parts if part)
    return f"{said} (GUID {printable(finding.what)})" if finding.what else said


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _object(report: Report) -> dict[str, object]:
    kinds = Counter(finding.kind for each in report.audited for finding in each.findings)
    return {
        "nodes": list(report.nodes),
        "agrees": report.agrees,
        "stopped": report.stopped,
        "audited": len(report.audited),
        "found": {str(kind): count for kind, count in sorted(kinds.items())},
        "mailboxes": [
            {
                "mailbox": each.mailbox,
                "messages": dict(zip(report.nodes, each.messages, strict=False)),
                "unread": each.unread,
                "findings": [_row(finding) for finding in each.findings],
            }
            for each in report.audited
            if not each.agrees
        ],
    }


def _row(finding: Finding) -> dict[str, str]:
    row = asdict(finding)
    del row["mailbox"]
    row["guid"] = row.pop("what")
    return row
