"""What an agent says of itself with `-o metadata`: its parameters and its actions. Pure.

The standard library's parser is enough: the text is short, and one with a document type is refused, so that
there are no entities to expand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

LIMIT = 256 * 1024  # bytes; the longest of Debian's agents has 12 thousand
_MOST = 500  # parameters, actions, choices
_NAME_LIMIT = 64
_TRUE = ("1", "yes", "on", "true")


class Unreadable(Exception):
    """The text is no agent's metadata; why, for people."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One option. `kind` is `string`, `boolean`, `integer`, `second` or `select`, which has `choices`;
    `obsoletes` is the older name of the same thing, '' for none."""

    name: str
    kind: str = "string"
    default: str | None = None
    choices: tuple[str, ...] = ()
    required: bool = False
    deprecated: bool = False
    obsoletes: str = ""

    @property
    def on_by_default(self) -> bool:
        return self.kind == "boolean" and (self.default or "").lower() in _TRUE


@dataclass(frozen=True, slots=True)
class Metadata:
    """Parameters by their names, and the names of the actions."""

    parameters: Mapping[str, Parameter]
    actions: frozenset[str]


def parse(content: bytes) -> Metadata:
    """Read `PROGRAM -o metadata`. Raises Unreadable."""
    root = _root(content)
    if root.tag != "resource-agent":
        raise Unreadable(f"it begins with <{_short(root.tag)}>, not with <resource-agent>")
    parameters = [_parameter(found) for found in _some(root, "parameters/parameter")]
    actions = frozenset(_name(found) for found in _some(root, "actions/action"))
    if not actions:
        raise Unreadable("it offers no action")
    return Metadata({parameter.name: parameter for parameter in parameters}, actions)


def _root(content: bytes) -> ElementTree.Element:
    if len(content) > LIMIT:
        raise Unreadable(f"it is longer than {LIMIT >> 10} KiB")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise Unreadable("it is not text in UTF-8") from None
    if not text.strip():
        raise Unreadable("it is empty")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise Unreadable("it has a document type of its own")
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise Unreadable(f"it is not XML: {_short(str(error))}") from error


def _some(root: ElementTree.Element, path: str) -> list[ElementTree.Element]:
    found = root.findall(path)
    if len(found) > _MOST:
        raise Unreadable(f"it lists more than {_MOST} of {path.rpartition('/')[2]}")
    return found


def _name(found: ElementTree.Element) -> str:
    name = found.get("name", "")
    if not 0 < len(name) <= _NAME_LIMIT or not name.isprintable():
        raise Unreadable(f"it has a {found.tag} called {_short(name)!r}")
    return name


def _parameter(found: ElementTree.Element) -> Parameter:
    content = found.find("content")
    kind, default, choices = "string", None, ()  # type: tuple[str, str | None, tuple[str, ...]]
    if content is not None:
        kind, default = content.get("type", "string"), content.get("default")
        choices = tuple(option.get("value", "") for option in _some(content, "option"))
    return Parameter(
        name=_name(found),
        kind=kind,
        default=default,
        choices=choices,
        required=found.get("required", "").lower() in _TRUE,
        deprecated=found.get("deprecated", "").lower() in _TRUE,
        obsoletes=found.get("obsoletes", ""),
    )


def _short(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:80])
