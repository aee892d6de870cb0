"""Between the helper's JSON and the model. No I/O.

What the helper says is not trusted to be well-formed: a part that cannot be read makes the whole
answer one that cannot be trusted (`Malformed`), except a unit's state, where unknown is a value.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mailward.model.fencing import (
    CLOSED,
    OPEN,
    HelperAnswer,
    HelperReply,
    Hook,
    HookAnswer,
    NodeFacts,
    PortKind,
    PortMap,
    PortState,
    Space,
    Terms,
    UnitState,
)
from mailward.model.token import Token

PROTOCOL = 1
_REPLY_OF = {"stale": HelperReply.STALE, "foreign": HelperReply.FOREIGN, "lapsed": HelperReply.LAPSED}
_DETAIL_LIMIT = 500
_WORD_LIMIT = 32


class Malformed(ValueError):
    """The helper's answer cannot be read."""


def parse_object(line: bytes) -> dict[str, Any]:
    try:
        document = json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not JSON: {line[:80]!r}") from error
    if not isinstance(document, dict):
        raise Malformed(f"not a JSON object: {line[:80]!r}")
    return document


def nonce_of(hello: Mapping[str, Any]) -> str:
    """Check the hello and take its nonce."""
    if hello.get("mailward_node") != PROTOCOL:
        raise Malformed(f"no hello of protocol {PROTOCOL}: is mailward-node of the same release there?")
    nonce = hello.get("nonce")
    if not isinstance(nonce, str) or not nonce:
        raise Malformed("a hello without a nonce")
    return nonce


def ports_to_wire(ports: PortMap) -> dict[str, Any]:
    return {
        service: {"detoured": state.to} if state.kind is PortKind.DETOURED else state.kind.value
        for service, state in ports.items()
    }


def terms_to_wire(terms: Terms) -> dict[str, Any]:
    """What is not wanted is not said: a helper of an earlier release obeys a plain order."""
    wanted = {"lease_s": terms.lease_s, "stop": terms.stop, "hook": terms.hook and terms.hook.value}
    return {name: value for name, value in wanted.items() if value}


def ports_from_wire(found: object) -> PortMap:
    if not isinstance(found, dict):
        raise Malformed("ports: not a map")
    return {str(service): _port_state(service, state) for service, state in found.items()}


def _port_state(service: str, found: object) -> PortState:
    if found == "open":
        return OPEN
    if found == "closed":
        return CLOSED
    if isinstance(found, dict) and isinstance(found.get("detoured"), str):
        return PortState(PortKind.DETOURED, found["detoured"])
    raise Malformed(f"ports.{service}: {str(found)[:40]!r} is no state")


def answer_from_wire(found: Mapping[str, Any], sent: Token) -> HelperAnswer:
    """An answer to the order, claim or renewal `sent`. Obeyed means that it names just this token."""
    token = _token(found.get("token"))
    ports = ports_from_wire(found.get("ports", {}))
    if found.get("ok") is True:
        if token != sent:
            raise Malformed(f"it answered for {token}, not for {sent}")
        return HelperAnswer(
            HelperReply.OBEYED,
            token,
            ports,
            persisted=found.get("persisted") is True,
            stopped=_yes_no_or_none(found, "stopped"),
            writers={str(name): _state(state) for name, state in _table(found, "writers").items()},
            hook=_hook(found.get("hook")),
        )
    reply = _REPLY_OF.get(str(found.get("error")), HelperReply.REFUSED)
    return HelperAnswer(reply, token, ports, detail=refusal_text(found), hook=_hook(found.get("hook")))


def _hook(found: object) -> HookAnswer | None:
    if found is None:
        return None
    if not isinstance(found, dict) or found.get("name") not in list(Hook):
        raise Malformed(f"hook: {str(found)[:40]!r} is none")
    return HookAnswer(
        Hook(found["name"]),
        configured=found.get("configured") is not False,
        ran=found.get("ran") is True,
        verified=found.get("verified") is True,
        detail=str(found.get("detail", ""))[:_DETAIL_LIMIT],
    )


def refusal_text(found: Mapping[str, Any]) -> str:
    return f"{found.get('error')}: {found.get('message')}"[:_DETAIL_LIMIT]


def facts_from_wire(found: Mapping[str, Any]) -> NodeFacts:
    status = found.get("status")
    if found.get("ok") is not True or not isinstance(status, dict):
        raise Malformed(refusal_text(found))
    applied = status.get("applied")
    lease = _table(status, "lease")
    return NodeFacts(
        hostname=str(status.get("hostname")),
        boot_id=str(status.get("boot_id")),
        token=_token(status.get("token")),
        ports=ports_from_wire(status.get("ports")),
        applied=applied if isinstance(applied, bool) else None,
        units={str(name): _unit_state(unit) for name, unit in _table(status, "units").items()},
        package_manager=status.get("package_manager") is True,
        paths={str(name): _space(space) for name, space in _table(status, "paths").items()},
        forced=status.get("forced") is True,
        lease_s=_seconds(lease, "lease_s"),
        lease_left_s=_seconds(lease, "left_s"),
        stopped=_yes_no_or_none(status, "stopped"),
        boot=_text_or_none(status, "boot"),
        firewall=str(status.get("firewall", ""))[:64],
    )


def _token(found: object) -> Token | None:
    if found is None:
        return None
    try:
        return Token.parse(str(found))
    except ValueError as error:
        raise Malformed(str(error)) from error


def _table(status: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = status.get(key) or {}
    if not isinstance(found, dict):
        raise Malformed(f"{key}: not a map")
    return found


def _seconds(table: Mapping[str, Any], key: str) -> float | None:
    found = table.get(key)
    if found is None or (isinstance(found, (int, float)) and not isinstance(found, bool)):
        return found
    raise Malformed(f"{key}: {str(found)[:40]!r} is no number of seconds")


def _yes_no_or_none(table: Mapping[str, Any], key: str) -> bool | None:
    found = table.get(key)
    if found is None or isinstance(found, bool):
        return found
    raise Malformed(f"{key}: {str(found)[:40]!r} is neither yes nor no")


def _text_or_none(table: Mapping[str, Any], key: str) -> str | None:
    found = table.get(key)
    if found is None or isinstance(found, str):
        return found and found[:_WORD_LIMIT]
    raise Malformed(f"{key}: {str(found)[:40]!r} is no text")


def _unit_state(found: object) -> UnitState:
    return _state(found.get("state")) if isinstance(found, dict) else UnitState.UNKNOWN


def _state(found: object) -> UnitState:
    try:
        return UnitState(str(found))
    except ValueError:
        return UnitState.UNKNOWN


def _space(found: object) -> Space:
    values = found if isinstance(found, dict) else {}

    def number(key: str) -> int | None:
        value = values.get(key)
        return value if isinstance(value, int) else None

    return Space(number("free_bytes"), number("total_bytes"), number("free_inodes"), number("total_inodes"))
