"""`status` and `explain`."""

import time
from pathlib import Path
from urllib.parse import quote

from pydantic import TypeAdapter

from mailward.app import client, render, terminal
from mailward.app.exits import Exit
from mailward.app.status import Explanations, Mode, Status

WATCH_EVERY_S = 2.0

_STATUS: TypeAdapter[Status] = TypeAdapter(Status)
_EXPLANATIONS: TypeAdapter[Explanations] = TypeAdapter(Explanations)


def status(socket: Path, *, as_json: bool, watch: bool, check: bool) -> Exit:
    while watch:
        try:
            read = terminal.show(_text(_fetch(socket)), clear=True)
        except client.Unreachable as error:
            read = terminal.show(f"{error}\n", clear=True)
        if not read:
            return Exit.DONE
        time.sleep(WATCH_EVERY_S)
    raw = client.call(socket, "GET", "/v1/status")
    shown = _STATUS.validate_json(raw)
    if as_json:
        terminal.write(raw.decode())
    else:
        terminal.show(_text(shown))
    return _judged(shown) if check else Exit.DONE


def _fetch(socket: Path) -> Status:
    return _STATUS.validate_json(client.call(socket, "GET", "/v1/status"))


def _text(shown: Status) -> str:
    return render.status(shown, width=terminal.width())


def _judged(shown: Status) -> Exit:
    if shown.automation.mode is Mode.HELD:
        return Exit.HELD
    return Exit.DONE if shown.healthy else Exit.FAILED


def explain(socket: Path, node: str | None, *, as_json: bool) -> Exit:
    query = f"?node={quote(node, safe='')}" if node is not None else ""
    raw = client.call(socket, "GET", f"/v1/explain{query}")
    if as_json:
        terminal.write(raw.decode())
    else:
        terminal.show(render.explanations(_EXPLANATIONS.validate_json(raw), width=terminal.width()))
    return Exit.DONE
