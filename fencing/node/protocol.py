"""The protocol of `serve`: one hello, one request line, one answer line, all JSON. No I/O here.

    -> {"mailward_node": 1, "nonce": "…", "store": "…"|null, "token": "…"|null}
    <- {"nonce": "…", "do": "ports", "token": "…", "ports": {"imaps": "closed", …}}
           and, where wanted, "lease_s": 10, "stop": true, "hook": "demote"
       {"nonce": "…", "do": "claim", "token": "…"}
       {"nonce": "…", "do": "renew", "token": "…"}
       {"nonce": "…", "do": "status"}
       {"nonce": "…", "do": "connect", "service": "imaps"}
    -> {"ok": true, …} or {"ok": false, "error": "stale", "message": "…", "store": …, "token": …}

After the answer to `connect` the rest is a raw pipe to the service. The nonce is new for each process
and the request must be complete within `WINDOW_S` of the hello: an order which the network holds back
finds its process gone, and cannot be played to another. No clock of the sender is trusted.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from mailward.fencing.node import refusal, strictjson
from mailward.fencing.node.memory import CLOSED, OPEN, PortMap, Record
from mailward.fencing.node.orders import Obeyed
from mailward.fencing.node.refusal import Refused
from mailward.fencing.node.terms import DEMOTE, LEASES_S, PLAIN, PROMOTE, Terms
from mailward.fencing.node.token import Token, parse_token
from mailward.fencing.node.work import Done

PROTOCOL = 1
WINDOW_S = 2.0
LINE_LIMIT = 64 * 1024

_FIELDS = {
    "ports": {"token", "ports"},
    "claim": {"token"},
    "renew": {"token"},
    "status": set(),
    "connect": {"service"},
}
_OPTIONAL = {"ports": {"lease_s", "stop", "hook"}}


class Request(NamedTuple):
    do: str
    token: Token | None = None
    ports: PortMap | None = None
    service: str | None = None
    terms: Terms = PLAIN


def hello(nonce: str, record: Record) -> dict[str, Any]:
    return {"mailward_node": PROTOCOL, "nonce": nonce, **_place(record)}


def obeyed(done: Obeyed) -> dict[str, Any]:
    record = done.record
    answer = {"ok": True, "ports": record.ports or {}, "persisted": done.persisted}
    return {**answer, **_work(done.done), **_place(record)}


def _work(done: Done) -> dict[str, Any]:
    """What was done beside the ports: "stopped" or "started" with each writer's state, and the hook."""
    answer: dict[str, Any] = {}
    if done.writers is not None:
        answer = {done.writers.wanted: done.writers.done, "writers": done.writers.states}
    if done.hook is not None:
        answer["hook"] = done.hook.told()
    return answer


def refused(error: Refused, record: Record) -> dict[str, Any]:
    """A refusal says what is remembered, so that its reader need not ask."""
    answer = {"ok": False, "error": error.code, "message": error.message, "ports": record.ports or {}}
    return {**answer, **(_work(error.done) if error.done else {}), **_place(record)}


def _place(record: Record) -> dict[str, Any]:
    return {"store": record.store, "token": str(record.token) if record.token else None}


def parse_request(line: bytes, nonce: str) -> Request:
    """Read one request; `Refused` says what is wrong with it."""
    try:
        document = strictjson.loads(line.decode())
    except ValueError as error:
        raise Refused(refusal.BAD_REQUEST, f"not a line of JSON: {error}") from error
    if not isinstance(document, dict):
        raise Refused(refusal.BAD_REQUEST, "a request is a JSON object")
    if document.pop("nonce", None) != nonce:
        raise Refused(refusal.LATE, "the nonce is not of this session: an order held back or played again")
    do = document.pop("do", None)
    if not isinstance(do, str) or do not in _FIELDS:
        raise Refused(refusal.BAD_REQUEST, f"do: {str(do)[:40]!r} is not one of {', '.join(sorted(_FIELDS))}")
    given, optional = set(document), _OPTIONAL.get(do, set())
    if not _FIELDS[do] <= given <= _FIELDS[do] | optional:
        wanted = ", ".join(sorted(_FIELDS[do])) or "nothing"
        wanted += f" (and may have {', '.join(sorted(optional))})" if optional else ""
        raise Refused(refusal.BAD_REQUEST, f"{do} wants {wanted} beside nonce and do")
    return Request(
        do=do,
        token=_token(document["token"]) if "token" in document else None,
        ports=_ports(document["ports"]) if "ports" in document else None,
        service=_service(document["service"]) if "service" in document else None,
        terms=_terms(document),
    )


def _token(found: object) -> Token:
    try:
        return parse_token(found)
    except ValueError as error:
        raise Refused(refusal.BAD_REQUEST, str(error)) from error


def _service(found: object) -> str:
    if not isinstance(found, str):
        raise Refused(refusal.BAD_REQUEST, "service: a name is wanted")
    return found


def _terms(document: dict[str, Any]) -> Terms:
    stop = document.get("stop", False)
    if not isinstance(stop, bool):
        raise Refused(refusal.BAD_REQUEST, f"stop: {strictjson.dumps(stop)[:40]} is not true or false")
    return Terms(
        lease_s=_lease_s(document["lease_s"]) if "lease_s" in document else None,
        stop=stop,
        hook=_hook(document["hook"]) if "hook" in document else None,
    )


def _hook(found: object) -> str:
    if found not in (PROMOTE, DEMOTE):
        shown = strictjson.dumps(found)[:40]
        raise Refused(refusal.BAD_REQUEST, f'hook: {shown} is not "{PROMOTE}" or "{DEMOTE}"')
    return str(found)


def _lease_s(found: object) -> float:
    least_s, most_s = LEASES_S
    if isinstance(found, (int, float)) and not isinstance(found, bool) and least_s <= found <= most_s:
        return float(found)
    shown = strictjson.dumps(found)[:40]
    raise Refused(
        refusal.BAD_REQUEST, f"lease_s: {shown} is not a number of {least_s:g} to {most_s:g} seconds"
    )


def _ports(found: object) -> PortMap:
    """A map of service to "open", "closed" or {"detoured": ADDRESS}; a bare yes or no is none."""
    if not isinstance(found, dict):
        raise Refused(refusal.BAD_REQUEST, "ports: a map of service to state is wanted")
    for service, state in found.items():
        detour = isinstance(state, dict) and set(state) == {"detoured"} and isinstance(state["detoured"], str)
        if not detour and state not in (OPEN, CLOSED):
            shown = strictjson.dumps(state)[:40]
            raise Refused(
                refusal.BAD_REQUEST,
                f'ports.{service[:40]}: {shown} is not "open", "closed" or {{"detoured": "ADDRESS"}}',
            )
    return found
