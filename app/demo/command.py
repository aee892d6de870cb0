"""The `demo` command."""

import asyncio
import importlib.util
from typing import Annotated

import typer

from mailward.app.exits import Exit


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running at the end, to play with.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="End with one object; the story goes to stderr.")
    ] = False,
) -> None:
    """Watch a failover on this machine: two small mail nodes, a crash, a hang. No root, no Docker."""
    for module in ("aiosmtpd", "cryptography"):
        if importlib.util.find_spec(module) is None:
            typer.echo(f"The demo needs {module}: pip install 'mailward[demo]'", err=True)
            raise typer.Exit(2)
    from mailward.app.demo.story import DemoFailed, Fault, summary, tell

    faults: tuple[Fault, ...] = ()
    code, problem = Exit.DONE, ""
    try:
        faults = asyncio.run(tell(lambda text: typer.echo(text, err=as_json), keep=keep))
    except DemoFailed as error:
        code, problem = Exit.FAILED, str(error)
        typer.echo(problem, err=True)
    except KeyboardInterrupt:
        code, problem = Exit.INTERRUPTED, "interrupted"
    if as_json:
        typer.echo(summary(faults, problem))
    raise typer.Exit(code)
