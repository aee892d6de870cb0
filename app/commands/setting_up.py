"""`config check`, `state init` and `state show`."""

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mailward.app import terminal
from mailward.app.exits import Exit
from mailward.app.wording import clock_time, printable
from mailward.model.errors import ConfigError, ForeignStore

if TYPE_CHECKING:
    from mailward.app.commands.exported import Exported
    from mailward.configs.schema import Config
    from mailward.model.state import State
    from mailward.model.token import Token


def check(file: Path, *, live: bool = False) -> Exit:
    """Every mistake, or what the file means; `live` tries every connection as well."""
    from mailward.configs.check import describe
    from mailward.configs.loading import load

    try:
        config = load(file)
    except ConfigError as error:
        return _mistakes(file, error)
    for line in (*describe(config), *(() if live else _absent(config))):
        typer.echo(line)
    typer.echo(f"{file} is right.")
    return _try(config) if live else Exit.DONE


def _absent(config: "Config") -> list[str]:
    """Warnings of power switches' programs that this host does not have; the daemon's may be another."""
    from mailward.app.peering import may_ever_act
    from mailward.fencing.agent.program import Agent

    agents = {name: node.agent for name, node in config.nodes.items() if node.agent and may_ever_act(config)}
    return [
        f"warning: nodes.{name}.agent.program: {agent.program} is not on this host: a daemon that may lead"
        " does not start without it"
        for name, agent in agents.items()
        if Agent(agent.program).path is None
    ]


def _try(config: "Config") -> Exit:
    from mailward.app.commands.live_check import try_all
    from mailward.controller.clock import SystemClock

    tried = asyncio.run(try_all(config, SystemClock()))
    for each in tried:
        typer.echo(f"{'works ' if each.works else 'FAILED'}  {each.what}: {printable(each.detail, 300)}")
    failed = sum(not each.works for each in tried)
    typer.echo(f"{len(tried) - failed} of {len(tried)} connections work.")
    return Exit.FAILED if failed else Exit.DONE


def _mistakes(file: Path, error: ConfigError) -> Exit:
    for problem in error.problems:
        typer.echo(problem, err=True)
    count = len(error.problems)
    terminal.complain(f"{file} has {count} {'mistake' if count == 1 else 'mistakes'}; nothing was done")
    return Exit.FAILED


def show(file: Path) -> Exit:
    """What the store holds, as one JSON object; also what this version cannot understand."""
    from mailward.app.stores import documents
    from mailward.configs.loading import load

    try:
        config = load(file)
    except ConfigError as error:
        return _mistakes(file, error)
    found = asyncio.run(documents(config))
    if "store" not in found:
        terminal.complain("there is no store; make one with: mailward state init")
        return Exit.FAILED
    typer.echo(json.dumps({name: _parsed(content) for name, content in found.items()}, indent=1))
    return Exit.DONE


def _parsed(content: bytes) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return f"not JSON: {printable(content.decode(errors='replace'), 200)}"


def init(
    file: Path, *, adopt: str | None, offline: bool, earlier: Path | None = None, active: str | None = None
) -> Exit:
    """Make the store, above every token that a target or helper remembers; or the `earlier` store."""
    from mailward.app.api import clear
    from mailward.app.commands import exported, who_serves
    from mailward.app.commands.remembered import remembered
    from mailward.app.stores import made
    from mailward.configs.loading import load
    from mailward.configs.policy import policy_of
    from mailward.controller.clock import SystemClock
    from mailward.controller.coordination.first_state import first_state
    from mailward.controller.core.admission import left_out
    from mailward.model.policy import Deployment

    try:
        config = load(file)
    except ConfigError as error:
        return _mistakes(file, error)
    policy = policy_of(config)
    if problem := who_serves.unsaid(policy, active, adopt, earlier):
        terminal.complain(problem)
        return Exit.FAILED
    before = exported.read(earlier) if earlier is not None else None
    if before is not None:
        adopt = before.state.store_id
    if config.coordination.zookeeper is None:
        clear(config.api.socket)  # it would go on in the new store as if nothing had happened
    clock = SystemClock()
    found = asyncio.run(remembered(config, clock, adopt))
    for each in found:
        told = each.problem or (f"remembers {each.token}" if each.token else "remembers nothing")
        typer.echo(f"{each.where}: {printable(told, 300)}")
    silent = [each.where for each in found if each.problem]
    if silent and not offline:
        terminal.complain(
            f"{', '.join(silent)} could not be asked what they remember; a store that starts below it would "
            "not be obeyed. Mend that, or say --without-asking if they remember nothing"
        )
        return Exit.FAILED
    tokens = [each.token for each in found if each.token]
    answers = [rrset for each in found for rrset in each.rrsets]
    _must_be_of(before, tokens, earlier)
    as_then = active is None and before is not None and policy.deployment is Deployment.CLUSTER
    if as_then and before is not None:
        active, doubt = who_serves.in_the_earlier(before, policy, found)
        if not active:
            terminal.complain(who_serves.in_doubt(policy, doubt, earlier))
            return Exit.FAILED
    out = left_out(policy, answers, clock.now()) if tokens and active is None else ()
    first = replace(first_state([*tokens, *([before.token] if before else [])], adopt), phases=out)
    if before is not None:
        answered = {rrset.name.removesuffix(".") for rrset in answers}
        first = before.carried_into(first, answered, tokens)
    if active is not None:
        first = replace(first, phases=who_serves.phases_of(policy, active, clock.now(), before, found))
        told = f"{active} serves{', as it did then' if as_then else ''}"
        typer.echo(f"{told}; the others stand by, and their client ports will be closed.")
    state, where = made(config, first, before.pause if before else None)
    typer.echo(f"Made store {state.store_id} in {where}, starting after epoch {state.epoch}.")
    _tell_what_counts(state, before, clock.now().wall_s, taken_over=active is None)
    if os.geteuid() == 0 and config.coordination.zookeeper is None:
        typer.echo(f"Give it to the daemon's user: chown -R mailward: {where}")
    typer.echo("Next: systemctl start mailward; mailward status")
    return Exit.DONE


def _tell_what_counts(
    state: "State", before: "Exported | None", now_wall_s: float, *, taken_over: bool
) -> None:
    """What the new store holds of pauses and of nodes that are out. `taken_over`: phases are
    those of `before`, where there is one."""
    from mailward.model.state import Cause, Phase

    if before is not None and before.pause is not None:
        until = clock_time(before.pause.until_wall_s, None, now_wall_s)
        typer.echo(
            f"Paused by {before.pause.owner} until {until}: {before.pause.reason or 'no reason given'}"
        )
    for record in before.back_in_service(state) if before is not None and taken_over else ():
        typer.echo(f"{record.node} was out of {record.endpoint} then; DNS names it: it counts as in service")
    for record in (each for each in state.phases if each.phase is Phase.OUT):
        stays = f"it stays out until you type: mailward readmit {record.node}"
        if record.cause is not Cause.OPERATOR:
            stays = "it comes back by itself when it is well"
        typer.echo(f"{record.node} is out of {record.endpoint} ({record.detail or record.cause}): {stays}")


def _must_be_of(before: "Exported | None", tokens: "list[Token]", file: Path | None) -> None:
    """ForeignStore where the targets obey another store than the file is of."""
    others = sorted({token.store_id for token in tokens} - {before.state.store_id if before else ""})
    if before is not None and others:
        theirs = f"and what was asked obeys {', '.join(others)}"
        raise ForeignStore(f"{file} is of store {before.state.store_id}, {theirs}; nothing was done")
