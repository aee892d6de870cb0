"""`mailward simulate --scenario FILE`: a story played in the simulated cluster, told as it happened."""

import json
import os
import stat
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import typer
from pydantic import ValidationError

from mailward.app import terminal
from mailward.app.commands.apart import apart
from mailward.app.exits import Exit
from mailward.app.wording import duration, printable
from mailward.configs.problems import dotted
from mailward.configs.rules import RulesSection
from mailward.configs.schema import Config
from mailward.configs.shape import problems_of
from mailward.configs.times import contradictions
from mailward.model.policy import Policy
from mailward.simulator.rehearsal import Line, Played, Told, rehearse
from mailward.simulator.scenario import LARGEST, Scenario, parse

_MARKS = {
    Told.HELD: "held",
    Told.NOTICE: "notice",
    Told.MET: "MET",
    Told.NOT_MET: "NOT MET",
    Told.BROKEN: "RULE BROKEN",
    Told.OUTSIDE: "OUTSIDE THE FAULT MODEL",
    Told.EXCUSED: "EXCUSED",
}
_INDENT = " " * 13


def play(file: Path, config: Config, policy: Policy, seed: int, as_if: str, *, as_json: bool) -> Exit:
    """Play it with this policy, and say what it is not as configured (`as_if`); every mistake of the file at
    once, and then nothing is played."""
    scenario, problems = read(file, config, policy)
    if problems:
        for problem in problems:
            typer.echo(problem, err=True)
        terminal.complain(f"{file} has {_counted(len(problems), 'mistake')}; nothing was played")
        return Exit.FAILED
    played = rehearse(policy, scenario, seed)
    said = [*story(played, terminal.width()), *([as_if] if as_if else [])]
    typer.echo(json.dumps(_object(played)) if as_json else "\n".join(said))
    return Exit.DONE if played.well else Exit.FAILED


def read(file: Path, config: Config, policy: Policy) -> tuple[Scenario, tuple[str, ...]]:
    """The scenario, and all that is wrong with it for this cluster. Of a larger file no more is read than
    shows that it is too large."""
    handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):  # a named pipe would keep us waiting
            return Scenario(), (f"{file} is not a file",)
        with open(handle, "rb", closefd=False) as opened:
            raw = opened.read(4 * LARGEST + 1)
    finally:
        os.close(handle)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        return Scenario(), (f"line {line}: the file is not UTF-8 text",)
    scenario = parse(text)
    problems = scenario.problems(policy)
    if not problems:
        problems = tuple(f"line {scenario.rules_line}: with: {text}" for text in _rules(scenario, config))
    return scenario, problems


def _rules(scenario: Scenario, config: Config) -> Iterator[str]:
    """The rules it sets, within the bounds that the configuration has for them."""
    said = {name: str(value).lower() for name, value in scenario.rules.items()}
    try:
        rules = RulesSection.model_validate(said)
    except ValidationError as error:
        for problem in problems_of(error):
            yield f"{dotted(problem.path)}: {problem.sentence}"
        return
    merged = config.model_copy(update={"policy": rules.over(config.policy)})
    for problem in contradictions(merged) if said else ():
        yield f"{dotted(problem.path[1:])}: {problem.sentence}"


def _object(played: Played) -> dict[str, object]:
    """The same keys as without a scenario, and the scenario's own."""
    lines = [{"at_s": round(line.at_s, 3), "kind": line.kind, "who": line.who, "text": line.text}
             for line in played.story]  # fmt: skip
    return {
        "scenario": played.title,
        "seed": played.seed,
        "hours": played.hours,
        "operations": played.operations,
        "violations": len(played.violations),
        "violated": list(played.violations),
        "excused": played.excused,
        "excused_by_reason": dict(played.excused_by_reason),
        "outside": list(played.outside),
        "set_aside": list(played.set_aside),
        "digest": played.digest,
        "well": played.well,
        "expectations": [asdict(each) for each in played.expected],
        "story": lines,
    }


def story(played: Played, width: int) -> Iterator[str]:
    """The lines of the screen, none wider than `width`."""
    yield from textwrap.wrap(played.title, width)
    yield ""
    for line in played.story:
        yield from _told(line, width)
    met = sum(each.met for each in played.expected)
    broken = f"{_counted(len(played.violations), 'rule')} broken" if played.violations else "no rule broken"
    yield ""
    operations = f"{_counted(played.operations, 'operation')} in {duration(played.hours * 3600.0)}"
    summed = f"{met} of {len(played.expected)} expectations met, {broken}, {operations}; seed {played.seed}."
    yield from _wrapped(summed, width, "")
    yield from apart(played.outside, played.excused_by_reason, played.set_aside, width)
    for each in played.expected:
        if not each.met:
            yield from _wrapped(f"NOT MET, line {each.line}: {each.text}: {each.why}", width, "  ")
    for violation in played.violations:
        yield from _wrapped(f"RULE BROKEN at {violation}", width, "  ")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _told(line: Line, width: int) -> Iterator[str]:
    parts = [line.who, _MARKS.get(line.kind, ""), printable(line.text, 400)]
    said = ": ".join(part for part in parts if part)
    yield from _wrapped(
        f"{line.at_s:>9.1f} s  {'> ' if line.kind is Told.EVENT else ''}{said}", width, _INDENT
    )


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(
        text, width, subsequent_indent=indent, break_long_words=True, break_on_hyphens=False,
        drop_whitespace=True,
    )  # fmt: skip
