"""pydantic's errors as sentences, and what is left of a file once its wrong parts are taken out.

pydantic stops at the first broken layer; people want every mistake at once. So the broken parts are
removed (`best_effort`) and the rest is still checked as a whole.
"""

import copy
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mailward.configs.problems import Path, Problem
from mailward.configs.schema import Config
from mailward.configs.sections import SecretSection, Section
from mailward.configs.values import shown

STAND_INS: Mapping[str, Any] = {
    "cluster": "unknown",
    "deployment": "hybrid",
    "nodes": {},
    "site": "unknown",
    "addresses": [],
    "services": [],
    "port": 1,
    "user": "unknown",
    "program": "fence_unknown",
    "name": "unknown",
    "server": "192.0.2.1",
    "zone": "invalid",
    "tsig": {},
    "ns": [],
    "servers": [],
    "ca_file": "unknown",
    "cert_file": "unknown",
    "key_file": "unknown",
}
"""In place of what must be said and is not, or is broken: any value will do, since nothing that depends on
it is reported."""
_ROUNDS = 12
_SECRET_WORDS = ("password", "secret", "api_key", "token")


def validated(values: Mapping[str, Any], base: str) -> Config | ValidationError:
    """The configuration, or pydantic's word on it. `base` is the folder relative paths start at."""
    try:
        return Config.model_validate(values, context={"base": base})
    except ValidationError as error:
        return error


def problems_of(error: ValidationError) -> list[Problem]:
    return [_problem(detail) for detail in error.errors(include_url=False)]


def best_effort(values: Mapping[str, Any], error: ValidationError, base: str) -> Config | None:
    """The configuration without its broken parts; None where nothing sensible is left."""
    rest: dict[str, Any] = copy.deepcopy(dict(values))
    for _ in range(_ROUNDS):
        for detail in error.errors(include_url=False, include_input=False):
            _mend(rest, _path(detail))
        outcome = validated(rest, base)
        if isinstance(outcome, Config):
            return outcome
        error = outcome
    return None


def closest(word: str, known: Iterable[str]) -> str | None:
    """What was probably meant."""
    found = get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return found[0] if found else None


def _path(detail: ErrorDetails) -> Path:
    return tuple(step for step in detail["loc"] if step != "[key]")


def _problem(detail: ErrorDetails) -> Problem:
    path, kind, found = _path(detail), detail["type"], detail["input"]
    return Problem(path, _sentence(path, kind, found, detail))


def _sentence(path: Path, kind: str, found: Any, detail: ErrorDetails) -> str:
    if kind == "wrong":
        return detail["msg"]
    if kind == "missing":
        return f"missing: {_described(path)}"
    if kind == "extra_forbidden":
        return _unknown_key(path)
    if kind in ("enum", "literal_error"):
        expected = str(detail["ctx"]["expected"]).replace("'", "")
        near = closest(str(found), expected.replace(" or ", ", ").split(", "))
        return f"{shown(found)} is not known here: write {near or expected}"
    if kind in ("tuple_type", "list_type"):
        return _list_wanted(found)
    if kind == "dict_type" and found is None:
        return "the section is empty: write keys with values, or leave it out"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"a section is wanted here, keys with values: {_described(path)}"
    return f"{detail['msg']}: {_described(path)}"


def _list_wanted(found: Any) -> str:
    if found is None:
        return "empty: write a list, or leave the line out"
    return (
        f"a list is wanted here: write [{found}]"
        if isinstance(found, str) and len(found) < 60
        else "a list is wanted"
    )


def _unknown_key(path: Path) -> str:
    section, word = _section(path[:-1]), str(path[-1])
    known = list(section.model_fields) if section else []
    if section and issubclass(section, SecretSection) and word in _SECRET_WORDS:
        key = f"{section.secret_name}_file"
        return f"secrets do not stand in this file: put it into a file and name that in {key}"
    near = closest(word, known)
    return f"unknown key: did you mean {near}?" if near else f"unknown key: known here are {', '.join(known)}"


def _described(path: Path) -> str:
    """What a field's description says is to be written there."""
    section = _section(path[:-1])
    field = section.model_fields.get(str(path[-1])) if section and path else None
    itself = _section(path)
    described = (field.description if field else None) or (itself.__doc__ if itself else None)
    if not described:
        return "see configs/deployments/hybrid.yaml"
    text = described.splitlines()[0].split(". ")[0].removesuffix(".")
    return text[:1].lower() + text[1:] if text[1:2].islower() or text.startswith("A ") else text


def _section(path: Path) -> type[Section] | None:
    """The section at a path, if there is one."""
    found = _annotation(path)
    return found if isinstance(found, type) and issubclass(found, Section) else None


def _annotation(path: Path) -> Any:
    """The type of what stands at a path."""
    here: Any = Config
    for step in path:
        here = _bare(here)
        if isinstance(here, type) and issubclass(here, Section):
            field = here.model_fields.get(str(step))
            here = field.annotation if field else None
        elif get_origin(here) in (dict, tuple):
            here = get_args(here)[-1 if get_origin(here) is dict else 0]
        else:
            return None
    return _bare(here)


def _bare(annotation: Any) -> Any:
    """A type without Annotated and without its `| None`."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in (Union, UnionType):
            annotation = next(one for one in get_args(annotation) if one is not type(None))
        else:
            return annotation


def _mend(values: dict[str, Any], path: Path) -> None:
    """Take a broken value out, a list as a whole; put a stand-in where something must be said."""
    if any(isinstance(step, int) for step in path):
        path = path[: next(n for n, step in enumerate(path) if isinstance(step, int))]
    if not path:
        return
    here: Any = values
    for step in path[:-1]:
        here = here.get(step) if isinstance(here, dict) else None
    if not isinstance(here, dict):
        return
    section, key = _section(path[:-1]), str(path[-1])
    field = section.model_fields.get(key) if section else None
    if field is not None and field.is_required():
        here[key] = copy.copy(STAND_INS[key])
    else:
        here.pop(key, None)
