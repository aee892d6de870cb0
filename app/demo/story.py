"""The demo's story: a crash, a hang, and what the answer of DNS did, measured from outside."""

import asyncio
import json
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp
import dns.asyncquery
import dns.exception
import dns.message
import dns.rdatatype
from pydantic import TypeAdapter

from mailward.app.demo.stage import ADDRESSES, ENDPOINT, Stage, build
from mailward.app.render import status as render_status
from mailward.app.status import Status
from mailward.model.health import Verdict

START_LIMIT_S = 15.0
FAULT_LIMIT_S = 15.0
HEAL_LIMIT_S = 20.0
_LOOK_S = 0.02

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault with its times in seconds: until it was detected, until the answer of DNS had changed,
    and, from the repair, until the answer was whole again."""

    kind: str
    node: str
    detected_s: float
    withdrawn_s: float
    readmitted_s: float


class DemoFailed(Exception):
    """Something did not happen in time; the text says what, and where the logs are."""


async def tell(say: Say, *, keep: bool) -> tuple[Fault, ...]:
    """Play the demo. DemoFailed when a part of it does not come true: then its logs stay."""
    directory = Path(tempfile.mkdtemp(prefix="mailward-demo-"))
    failed = False
    try:
        return await _on(build(directory), say, keep=keep)
    except DemoFailed:
        failed = True
        raise
    finally:
        if not failed:
            shutil.rmtree(directory, ignore_errors=True)


async def _on(stage: Stage, say: Say, *, keep: bool) -> tuple[Fault, ...]:
    try:
        faults = await _play(stage, say)
        if keep:
            await _keep(stage, say)
        return faults
    finally:
        await stage.stop()


async def _play(stage: Stage, say: Say) -> tuple[Fault, ...]:
    began = time.monotonic()

    def tell_time(text: str) -> None:
        say(f"{time.monotonic() - began:6.2f} s  {text}")

    tell_time("starting two mail nodes and the daemon")
    for name in ADDRESSES:
        await stage.start_node(name)
    await stage.start_daemon()
    whole = frozenset(ADDRESSES.values())
    await _until(stage, "DNS answers both nodes", lambda: _answers(stage, whole), START_LIMIT_S)
    tell_time(f"DNS answers {ENDPOINT}: {_list(whole)}")
    await _show(stage, say)
    faults = []
    for kind, node in (("crash", "mail-a"), ("hang", "mail-b")):
        faults.append(await _fault(stage, kind, node, tell_time, say))
    say("")
    say(f"{'fault':<8}{'node':<9}{'detected':>10}{'withdrawn':>11}{'readmitted':>12}")
    for fault in faults:
        times = (fault.detected_s, fault.withdrawn_s, fault.readmitted_s)
        columns = "".join(
            f"{seconds:>{width}.2f} s" for seconds, width in zip(times, (8, 9, 10), strict=True)
        )
        say(f"{fault.kind:<8}{fault.node:<9}{columns}")
    return tuple(faults)


async def _fault(stage: Stage, kind: str, node: str, tell_time: Say, say: Say) -> Fault:
    """Break one node, watch it leave, repair it, watch it return."""
    others = frozenset(address for name, address in ADDRESSES.items() if name != node)
    how = "kill -9" if kind == "crash" else "frozen (SIGSTOP)"
    stage.signal(node, signal.SIGKILL if kind == "crash" else signal.SIGSTOP)
    broken = time.monotonic()
    tell_time(f"{node}: {how}")
    seen = asyncio.create_task(
        _until(stage, f"{node} is seen DOWN", lambda: _seen_down(stage, node), FAULT_LIMIT_S)
    )
    await _until(stage, f"DNS no longer answers {node}", lambda: _answers(stage, others), FAULT_LIMIT_S)
    withdrawn_s = time.monotonic() - broken
    detected_s = min(await seen - broken, withdrawn_s)
    tell_time(f"DNS answers only {_list(others)}")
    await _show(stage, say)
    if kind == "crash":
        await stage.processes[node].wait()
        await stage.start_node(node)
    else:
        stage.signal(node, signal.SIGCONT)
    healed = time.monotonic()
    tell_time(f"{node}: repaired")
    whole = frozenset(ADDRESSES.values())
    await _until(stage, f"{node} is readmitted", lambda: _answers(stage, whole), HEAL_LIMIT_S)
    tell_time(f"{node} is readmitted: DNS answers {_list(whole)}")
    return Fault(kind, node, detected_s, withdrawn_s, time.monotonic() - healed)


async def _until(stage: Stage, what: str, true: Callable[[], Any], limit_s: float) -> float:
    """The time at which it came true; DemoFailed with the daemon's last words when it did not."""
    deadline = time.monotonic() + limit_s
    task = asyncio.current_task()
    while time.monotonic() < deadline:
        if task is not None and task.cancelling():  # wait_for of Python 3.11 can swallow a cancellation
            raise asyncio.CancelledError
        if await true():
            return time.monotonic()
        if gone := stage.died("mailward"):
            raise DemoFailed(f"the daemon ended before {what}:\n{gone}")
        await asyncio.sleep(_LOOK_S)
    raise DemoFailed(f"not within {limit_s:.0f} s: {what}; the logs are in {stage.directory}")


async def _answers(stage: Stage, addresses: frozenset[str]) -> bool:
    query = dns.message.make_query(ENDPOINT, dns.rdatatype.A, flags=0)
    try:
        reply = await dns.asyncquery.udp(query, "127.0.0.1", timeout=0.5, port=stage.dns_port)
    except (OSError, dns.exception.DNSException):
        return False
    return frozenset(record.to_text() for rrset in reply.answer for record in rrset) == addresses


async def _seen_down(stage: Stage, node: str) -> bool:
    status = await _status(stage)
    return status is not None and any(
        service.verdict is Verdict.DOWN
        for shown in status.nodes
        if shown.node == node
        for service in shown.services
    )


async def _status(stage: Stage) -> Status | None:
    connector = aiohttp.UnixConnector(path=str(stage.api_socket))
    limit = aiohttp.ClientTimeout(total=2)
    with suppress(aiohttp.ClientError, OSError, TimeoutError, ValueError):
        async with (
            aiohttp.ClientSession(connector=connector, timeout=limit) as session,
            session.get("http://mailward/v1/status") as answer,
        ):
            return TypeAdapter(Status).validate_json(await answer.read())
    return None


async def _show(stage: Stage, say: Say) -> None:
    status = await _status(stage)
    if status is not None:
        say("")
        say(render_status(status))
        say("")


async def _keep(stage: Stage, say: Say) -> None:
    socket = stage.api_socket
    say("")
    say("Left running until Ctrl-C. Try in another terminal:")
    say(f"  mailward --socket {socket} status --watch")
    say(f"  mailward --socket {socket} failover mail-a --reason 'trying it'")
    say(f"  mailward --socket {socket} readmit mail-a")
    say(f"  dig @127.0.0.1 -p {stage.dns_port} {ENDPOINT}")
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


def _list(addresses: frozenset[str]) -> str:
    return ", ".join(sorted(addresses))


def summary(faults: tuple[Fault, ...], problem: str = "") -> str:
    """The object of `--json`."""
    rounded = [
        {key: round(value, 3) if isinstance(value, float) else value for key, value in asdict(f).items()}
        for f in faults
    ]
    result: dict[str, Any] = {"ok": not problem, "faults": rounded}
    if problem:
        result["problem"] = problem
    return json.dumps(result)
