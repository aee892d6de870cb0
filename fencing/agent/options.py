"""What an agent is told, checked against what it says of itself. Pure.

An agent only warns of an option it does not know (and writes it to syslog with its value), so a typo would be
found when it matters. To many of them a switch is on as soon as it is said, be it `0` or `false`: what is
off anyway is not said (`fence_redfish` with `ssl_insecure=0` believes any certificate: tried).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from mailward.fencing.agent.metadata import Metadata, Parameter

ACTIONS = ("off", "on", "status")
_TRUE = ("1", "yes", "on", "true")
_FALSE = ("0", "no", "off", "false")
# In place of what it is asked to do, the agent would do another thing, and exit with 0.
_OURS = ("action", "option", "help", "version")


def mistakes(
    program: str, metadata: Metadata, options: Mapping[str, str], secrets: Mapping[str, str]
) -> list[str]:
    """Everything that is wrong, each with its place below `agent`. No secret is shown."""
    return [
        *_actions(program, metadata),
        *(
            f"options.{name}: {text}"
            for name in options
            for text in _wrong(program, metadata, name, options[name])
        ),
        *(f"secrets.{name}: {text}" for name in secrets for text in _wrong(program, metadata, name, None)),
        *_twice(metadata, {**options, **secrets}),
        *_missing(program, metadata, {**options, **secrets}),
    ]


def told(metadata: Metadata, options: Mapping[str, str]) -> dict[str, str]:
    """The options as the agent is to be told them."""
    said = {}
    for name, value in options.items():
        parameter = metadata.parameters[name]
        if parameter.kind != "boolean":
            said[name] = value
        elif value.lower() in _TRUE:
            said[name] = "1"
        elif parameter.on_by_default:
            said[name] = "0"
    return said


def _actions(program: str, metadata: Metadata) -> Iterator[str]:
    lacking = [action for action in ACTIONS if action not in metadata.actions]
    if lacking:
        offered = ", ".join(sorted(metadata.actions))
        yield f"program: {program} has no {' and no '.join(lacking)}: it offers {offered}"


def _wrong(program: str, metadata: Metadata, name: str, value: str | None) -> Iterator[str]:
    """What is wrong with one option; its `value` is None where it is a secret."""
    parameter = metadata.parameters.get(name)
    if name in _OURS:
        yield "mailward itself says what is to be done: leave the line out"
    elif parameter is None:
        known = sorted(
            one for one, each in metadata.parameters.items() if one not in _OURS and not each.deprecated
        )
        near = get_close_matches(name, known, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]}?" if near else f"it offers {', '.join(known)}"
        yield f"{program} has no option {name}: {hint}"
    elif value is not None:
        yield from _mistyped(parameter, value)


def _mistyped(parameter: Parameter, value: str) -> Iterator[str]:
    name, kind = parameter.name, parameter.kind
    if kind == "boolean" and value.lower() not in (*_TRUE, *_FALSE):
        yield f"{value!r} is neither true nor false"
    elif kind in ("integer", "second") and not re.fullmatch(r"-?[0-9]{1,9}", value):
        yield f"{value!r} is not a whole number{' of seconds' if kind == 'second' else ''}"
    elif kind == "select" and value not in parameter.choices:
        yield f"{value!r} is not offered: write {' or '.join(parameter.choices)}"
    elif name == "missing_as_off" and value.lower() not in _FALSE:
        yield "a plug that does not exist would read as off: leave the line out"


def _twice(metadata: Metadata, said: Mapping[str, str]) -> Iterator[str]:
    for parameter in metadata.parameters.values():
        if parameter.name in said and parameter.obsoletes in said:
            yield f"options: {parameter.obsoletes} is the older name of {parameter.name}: keep one"


def _missing(program: str, metadata: Metadata, said: Mapping[str, str]) -> Iterator[str]:
    for parameter in metadata.parameters.values():
        needed = parameter.required and not parameter.deprecated and parameter.name not in _OURS
        if needed and parameter.name not in said and parameter.obsoletes not in said:
            yield f"options: missing: {program} needs {parameter.name}"
