"""The command line: what can be typed. What it does is in `app.commands`, loaded when it is needed, so
that `mailward --help` is there at once; `probe` and `demo` are typed as their modules say.

The first screen answers the four moments in which somebody types `mailward` at all.
"""

import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mailward import __version__
from mailward.app import settings, terminal
from mailward.app.demo.command import demo
from mailward.app.exits import Exit, judged
from mailward.app.probe_command import probe

FIRST_SCREEN = """mailward keeps a mail service up when a mail server fails.

\b
Something is broken    mailward failover NODE   its users go elsewhere, now
Work is planned        mailward drain NODE      it is left gently
  ... and done         mailward readmit NODE    it comes back when caught up
  ... in a cluster     mailward switchover OTHER  another serves from then on
  ... there, at night  mailward switchover OTHER --at 02:30
You are frightened     mailward pause           nothing new is done by itself
  ... and calm again   mailward resume
What is it doing, why  mailward status; mailward explain [NODE]
"""


class Sentences(TyperGroup):
    """Failures as a sentence and an exit code: nobody but a developer wants a traceback."""

    def invoke(self, ctx: Any) -> Any:
        from mailward.app import client

        try:
            return super().invoke(ctx)
        except client.Unreachable as error:
            code, text = Exit.UNREACHABLE, str(error)
        except KeyboardInterrupt:
            code, text = Exit.INTERRUPTED, ""
        except BrokenPipeError:
            terminal.nobody_reads()
            code, text = Exit.FAILED, ""
        except Exception as error:
            if isinstance(error, (typer.Exit, typer.Abort)) or hasattr(error, "exit_code"):
                raise
            code, text = judged(error)
        if text:
            typer.echo(f"mailward: {text}", err=True)
        raise typer.Exit(code)


app = typer.Typer(
    cls=Sentences,
    help=FIRST_SCREEN,
    rich_markup_mode=None,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="Look at the configuration.", rich_markup_mode=None, no_args_is_help=True)
state_app = typer.Typer(help="The recorded state.", rich_markup_mode=None, no_args_is_help=True)
zookeeper_app = typer.Typer(help="The ensemble's servers.", rich_markup_mode=None, no_args_is_help=True)
replication_app = typer.Typer(help="The mail itself.", rich_markup_mode=None, no_args_is_help=True)

Config = Annotated[
    Path, typer.Option("--config", envvar="MAILWARD_CONFIG", help="The configuration file.", metavar="FILE")
]
Socket = Annotated[
    Path | None,
    typer.Option("--socket", envvar="MAILWARD_SOCKET", help="The daemon's socket.", metavar="PATH"),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")]
Node = Annotated[str, typer.Argument(metavar="NODE", help="The node's name in the configuration.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is recorded.", metavar="TEXT")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until it is over.")]
Timeout = Annotated[
    float,
    typer.Option("--timeout", min=0.1, max=86400, help="With --wait: how many seconds at most."),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Also against the gates that only protect replication. Where one node serves: for who would be "
        "promoted now, and what that lacks now.",
    ),
]

CONFIG = settings.DEFAULT_CONFIG
WAIT_S = 600.0


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mailward {__version__}")
        raise typer.Exit(Exit.DONE)


@app.callback()
def _root(
    config: Annotated[Path | None, typer.Option("--config", metavar="FILE", hidden=True)] = None,
    socket: Annotated[Path | None, typer.Option("--socket", metavar="PATH", hidden=True)] = None,
    _shown: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """`--config` and `--socket` may stand before the command as well as after it."""
    for name, value in (("MAILWARD_CONFIG", config), ("MAILWARD_SOCKET", socket)):
        if value is not None:
            os.environ[name] = str(value)


def _ask(
    kind: str, node: str, config: Path, socket: Path | None, reason: str, force: bool, dry_run: bool,
    wait: bool, timeout: float, as_json: bool, operation: str = "", at_unix_s: float | None = None,
) -> None:  # fmt: skip
    from mailward.app.commands.asking import Asked, ask

    wait_s = timeout if wait else None
    asked = Asked(kind, node, reason, force, dry_run, wait_s, as_json, operation, at_unix_s)
    raise typer.Exit(ask(settings.socket_path(socket, config), asked))


@app.command()
def failover(
    node: Node, reason: Reason = "", force: Force = False, dry_run: DryRun = False, wait: Wait = False,
    timeout: Timeout = WAIT_S, as_json: Json = False, config: Config = CONFIG, socket: Socket = None,
) -> None:  # fmt: skip
    """NODE is broken: its users go elsewhere, now."""
    _ask("failover", node, config, socket, reason, force, dry_run, wait, timeout, as_json)


@app.command()
def drain(
    node: Node, reason: Reason = "", dry_run: DryRun = False, wait: Wait = False,
    timeout: Timeout = WAIT_S, as_json: Json = False, config: Config = CONFIG, socket: Socket = None,
) -> None:  # fmt: skip
    """Work is planned: NODE is left gently.

    It is unpublished at once, and closed when the DNS answers which name it have run out. Who serves in a
    cluster is left by `mailward switchover` of another; there, this takes out one that stands by."""
    _ask("drain", node, config, socket, reason, False, dry_run, wait, timeout, as_json)


@app.command()
def readmit(
    node: Node, reason: Reason = "", force: Force = False, dry_run: DryRun = False, wait: Wait = False,
    timeout: Timeout = WAIT_S, as_json: Json = False, config: Config = CONFIG, socket: Socket = None,
) -> None:  # fmt: skip
    """NODE may serve again.

    It is let in when it is well, reachable by its helper, and has caught up."""
    _ask("readmit", node, config, socket, reason, force, dry_run, wait, timeout, as_json)


@app.command()
def switchover(
    node: Node,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="Later: 02:30, '2026-03-29 02:30', 'in 2h'; your zone."),
    ] = None,
    reason: Reason = "", force: Force = False, dry_run: DryRun = False, wait: Wait = False,
    timeout: Timeout = WAIT_S, as_json: Json = False, config: Config = CONFIG, socket: Socket = None,
) -> None:  # fmt: skip
    """Where one node serves: NODE is to be the one, without losing mail.

    The one that serves takes no more, what it has is waited for, then NODE is opened and published. What
    fails on the way is undone. With --at it waits for that time, and may be withdrawn (cancel) until then."""
    at_unix_s = None
    if at is not None:
        import time

        from mailward.app.commands import later

        if force:
            said = "what it accepts has to be seen when it is said: it does not go with --at"
            raise typer.BadParameter(said, param_hint="--force")
        try:
            at_unix_s = later.moment(at, time.time())
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--at") from None
    _ask("switchover", node, config, socket, reason, force, dry_run, wait, timeout, as_json,
         at_unix_s=at_unix_s)  # fmt: skip


@app.command()
def cancel(
    request: Annotated[str, typer.Argument(metavar="REQUEST", help="Its id, as `status` shows it.")],
    as_json: Json = False, config: Config = CONFIG, socket: Socket = None,
) -> None:  # fmt: skip
    """Withdraw what was asked for and has not begun, as a switchover planned with --at."""
    from mailward.app.commands import asking

    if not request.strip():
        raise typer.BadParameter("empty: write its id, as `mailward status` shows it", param_hint="REQUEST")
    raise typer.Exit(asking.cancel(settings.socket_path(socket, config), request, as_json=as_json))


@app.command()
def vouch(
    node: Node,
    operation: Annotated[
        str, typer.Option("--operation", metavar="ID", help="The operation that waits, as `explain` says.")
    ],
    reason: Reason = "", as_json: Json = False, config: Config = CONFIG, socket: Socket = None,
) -> None:  # fmt: skip
    """NODE is stopped, you have seen to it yourself: the failover that waits for it may go on.

    It counts for that operation alone, and only now. If NODE goes on serving all the same, two nodes do."""
    _ask("vouch", node, config, socket, reason, False, False, False, WAIT_S, as_json, operation)


@app.command()
def fence(
    words: Annotated[list[str], typer.Argument(metavar="[test] NODE", help="The node; with `test` before it: "
                                               "try each rung, and record what works.")],
    dry_run: DryRun = False, as_json: Json = False, config: Config = CONFIG, socket: Socket = None,
) -> None:  # fmt: skip
    """What would stop NODE: `fence NODE --dry-run`; and does it work: `fence test NODE`.

    Nothing is fenced by this, and trying a rung does no harm: helpers are asked for their status, power
    switches are read."""
    from mailward.app.commands import fencing

    *test, node = words
    if test not in ([], ["test"]):
        raise typer.BadParameter("one NODE is wanted: fence NODE --dry-run, or fence test NODE")
    if test and dry_run:
        raise typer.BadParameter("a test does no harm, and is recorded: leave it out", param_hint="--dry-run")
    if not test and not dry_run:
        raise typer.Exit(fencing.refused(node))
    path = settings.socket_path(socket, config)
    does = fencing.test if test else fencing.dry_run
    raise typer.Exit(does(path, node, as_json=as_json))


@app.command()
def pause(
    duration: Annotated[str, typer.Option("--for", metavar="TIME", help="As 30m, 2h or 1d.")] = "2h",
    reason: Reason = "", as_json: Json = False, config: Config = CONFIG, socket: Socket = None,
) -> None:  # fmt: skip
    """Nothing new is started by automation.

    A running operation goes on to its next serving state. Where the daemon does not answer, the pause is
    written to its store."""
    from mailward.app.commands import pausing

    try:
        for_s = pausing.seconds(duration)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--for") from None
    path, store = settings.socket_path(socket, config), settings.store(config)
    raise typer.Exit(pausing.pause(path, store, for_s, reason, as_json=as_json))


@app.command()
def resume(as_json: Json = False, config: Config = CONFIG, socket: Socket = None) -> None:
    """End the pause."""
    from mailward.app.commands import pausing

    path, store = settings.socket_path(socket, config), settings.store(config)
    raise typer.Exit(pausing.resume(path, store, as_json=as_json))


@app.command()
def status(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Again and again, until Ctrl-C.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 0 only if all is well: 1 if not, 4 if held.")
    ] = False,
    as_json: Json = False, config: Config = CONFIG, socket: Socket = None,
) -> None:  # fmt: skip
    """One screen: automation, nodes, what to type."""
    if watch and (check or as_json):
        raise typer.BadParameter("it goes with neither --check nor --json", param_hint="--watch")
    from mailward.app.commands import looking

    path = settings.socket_path(socket, config)
    raise typer.Exit(looking.status(path, as_json=as_json, watch=watch, check=check))


@app.command()
def explain(
    node: Annotated[str | None, typer.Argument(metavar="[NODE]", help="Only this node.")] = None,
    as_json: Json = False, config: Config = CONFIG, socket: Socket = None,
) -> None:  # fmt: skip
    """Why: each gate with its answer.

    Also of what did not happen."""
    from mailward.app.commands import looking

    raise typer.Exit(looking.explain(settings.socket_path(socket, config), node, as_json=as_json))


@app.command()
def run(
    config: Config = CONFIG,
    log_format: Annotated[str, typer.Option("--log", metavar="FORMAT", help="auto, text or json.")] = "auto",
    verbose: Annotated[bool, typer.Option("--verbose", help="Log what is looked at, too.")] = False,
) -> None:
    """The daemon itself, in the foreground."""
    if log_format not in ("auto", "text", "json"):
        raise typer.BadParameter(f"{log_format!r} is not auto, text or json", param_hint="--log")
    from mailward.app.process import become

    become(config, log_format, verbose=verbose)


@app.command()
def simulate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The configuration file.")],
    hours: Annotated[
        float | None,
        typer.Option("--hours", min=0.1, max=1000, help="Of faults at random.", show_default="1.0"),
    ] = None,
    scenario: Annotated[
        Path | None, typer.Option("--scenario", metavar="FILE", help="A story to play instead.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="The same seed, the same run.")] = None,
    as_json: Json = False,
) -> None:
    """What this cluster would do if ...: faults in a simulated world.

    Nothing real is touched; secrets are not needed. A scenario is a text file: what happens when, and
    what is expected of this cluster; 0 if all came true and no rule was broken, else 1."""
    if scenario is not None and hours is not None:
        raise typer.BadParameter("a scenario says itself when it ends", param_hint="--hours")
    from mailward.app.commands import simulating

    hours = 1.0 if hours is None else hours
    raise typer.Exit(simulating.simulate(file, hours=hours, seed=seed, as_json=as_json, scenario=scenario))


@config_app.command("check")
def config_check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The configuration file.")],
    live: Annotated[bool, typer.Option("--live", help="Try every connection, too; changes nothing.")] = False,
) -> None:
    """Every mistake in FILE, or what it means."""
    from mailward.app.commands import setting_up

    raise typer.Exit(setting_up.check(file, live=live))


@state_app.command("init")
def state_init(
    config: Config = CONFIG,
    adopt: Annotated[
        str | None,
        typer.Option("--adopt", metavar="STORE-ID", help="Go on with what a lost store's targets remember."),
    ] = None,
    without_asking: Annotated[
        bool,
        typer.Option("--without-asking", help="Go on though some could not be asked what they remember."),
    ] = False,
    earlier: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Go on with a store of which `state show` printed FILE."),
    ] = None,
    active: Annotated[
        str | None, typer.Option("--active", metavar="NODE", help="In a cluster: the node that serves now.")
    ] = None,
) -> None:
    """Make the store of a new cluster.

    It starts above every token that a DNS target or helper remembers. With --from, as when several daemons
    take over from one: the pause, the reasons of who is out, and the story go on. Who serves in a cluster
    --active says; with --from it may be left out where what is remembered and DNS agree with the file."""
    if adopt is not None and earlier is not None:
        raise typer.BadParameter("the file says itself which store it was", param_hint="--adopt")
    from mailward.app.commands import setting_up

    raise typer.Exit(
        setting_up.init(config, adopt=adopt, offline=without_asking, earlier=earlier, active=active)
    )


@state_app.command("show")
def state_show(config: Config = CONFIG) -> None:
    """What the store holds, as JSON; it asks no daemon."""
    from mailward.app.commands import setting_up

    raise typer.Exit(setting_up.show(config))


@replication_app.command("audit")
def replication_audit(
    mailboxes: Annotated[
        list[str] | None, typer.Argument(metavar="[MAILBOX]...", help="Only these; else all.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option("--sample", min=1, metavar="N", help="Only N of them, by chance.")
    ] = None,
    as_json: Json = False, config: Config = CONFIG,
) -> None:  # fmt: skip
    """Do both nodes hold the same mail? Every message's GUID, UID and flags are compared.

    Nothing is changed, and no daemon is asked. A mailbox that differs is read again: what is on its way is no
    difference. 0 if all agree, 1 if one differs, 5 if one could not be read."""
    from mailward.app.commands import auditing

    raise typer.Exit(auditing.audit(config, mailboxes or [], sample=sample, as_json=as_json))


@zookeeper_app.command("setup")
def zookeeper_setup(
    number: Annotated[int, typer.Option("--server", min=1, help="Which server: 1 is the first in the file.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the files are written.")],
    config: Config = CONFIG,
) -> None:
    """What a server of the ensemble needs, as files, with what to do with them.

    The servers are those of `coordination.zookeeper`; nothing is sent anywhere."""
    from mailward.app.commands import ensemble

    raise typer.Exit(ensemble.setup(config, number=number, out=out))


@zookeeper_app.command("grant")
def zookeeper_grant(config: Config = CONFIG) -> None:
    """Write who may do what there, as the configuration says.

    To be typed when observers or admins have changed, on the host of a daemon that may lead."""
    from mailward.app.commands import ensemble

    raise typer.Exit(ensemble.grant(config))


app.command()(probe)
app.command()(demo)
app.add_typer(config_app, name="config")
app.add_typer(state_app, name="state")
app.add_typer(replication_app, name="replication")
app.add_typer(zookeeper_app, name="zookeeper")


def main() -> None:
    """The entry point. What libraries log is for the daemon's log: a command says itself what is wrong."""
    terminal.open_closed_streams()
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        app(prog_name="mailward")
    except BrokenPipeError:
        terminal.nobody_reads()
        sys.exit(Exit.FAILED)


if __name__ == "__main__":
    main()
