"""The file as plain values: mappings, lists, text and None, and the line each key stands on.

PyYAML scans and parses; its constructors are not used. Every scalar stays text until a field says what it
is, which takes the traps out of YAML 1.1 (`no`, `22:22`, `010`, `1e3`, dates). Keys are text as well, and
twice the same key is a mistake. Anchors, aliases and `<<` work. Bounded: size, depth, number of values
with aliases followed. Tags are not used.
"""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path as FilePath

import yaml

from mailward.configs.problems import Path, Problem
from mailward.configs.values import shown
from mailward.model.errors import ConfigError

MAX_BYTES = 1 << 20
MAX_DEPTH = 20
MAX_VALUES = 5_000
_TOO_MANY = f"more than {MAX_VALUES} values, aliases followed: this cannot be a configuration"

_TAG = "tag:yaml.org,2002:"
_MERGE = _TAG + "merge"
_NULL = _TAG + "null"
_SCALARS = frozenset(
    _TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp", "merge", "value")
)

Plain = dict[str, "Plain"] | list["Plain"] | str | None


@dataclass(frozen=True)
class Document:
    """What stands in the file. `problems` are those that leave the rest readable."""

    values: dict[str, Plain]
    lines: dict[Path, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


class _TooMuch(yaml.MarkedYAMLError):
    """`problem` is the whole sentence."""


class _Loader(yaml.SafeLoader):
    """Composes nodes, not too many and not too deep."""

    _depth = 0
    _nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._depth += 1
        self._nodes += 1
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self._depth > MAX_DEPTH:
            raise _TooMuch(problem=f"nested more than {MAX_DEPTH} levels deep", problem_mark=mark)
        if self._nodes > 2 * MAX_VALUES:  # keys are nodes as well
            raise _TooMuch(problem=_TOO_MANY, problem_mark=mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


def read(path: FilePath) -> Document:
    """Read and parse a file. ConfigError when nothing of it can be understood."""
    try:
        # O_NONBLOCK: a named pipe must not keep us waiting.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigError((f"{path}: not a file",))
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError((f"{path}: cannot be read: {error.strerror}",)) from error
    if len(content) > MAX_BYTES:
        raise ConfigError((f"{path}: more than {MAX_BYTES >> 20} MiB: this cannot be a configuration",))
    try:
        return parse(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError((f"line {line}: not UTF-8: save the file as UTF-8",)) from error


def parse(text: str) -> Document:
    """Parse a document. ConfigError when it is not YAML or its top is not a mapping."""
    try:
        root = _Loader(text).get_single_node()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(
            (f"line {line}: a character that no text file holds (#x{error.character:04x})",)
        ) from error
    except yaml.MarkedYAMLError as error:
        raise ConfigError((_syntax(error),)) from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError((f"not YAML: {shown(error)}",)) from error
    if root is None:
        raise ConfigError(("the file is empty: begin with `cluster: NAME`",))
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(("the top of the file must be keys with values: begin with `cluster: NAME`",))
    reader = _Reader()
    values = reader.top(root)
    return Document(values, reader.lines, tuple(reader.problems))


def _syntax(error: yaml.MarkedYAMLError) -> str:
    """A syntax error in one line, with line and column."""
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    problem = str(error.problem or error.context)
    if isinstance(error, _TooMuch):
        return where + problem
    if "'\\t'" in problem:
        return f"{where}a tab: indent with spaces"
    if "single document" in str(error.context):
        return f"{where}a second document begins here (---): the file holds one"
    if "mapping values are not allowed" in problem:
        return f"{where}a colon where none can be: quote the value, or mend the indentation above"
    return f"{where}not YAML: {problem[:200]}"


class _Reader:
    """Turns nodes into plain values, noting lines and what is wrong."""

    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}
        self.problems: list[Problem] = []
        self._within: list[yaml.Node] = []
        self._values = 0

    def top(self, node: yaml.MappingNode) -> dict[str, Plain]:
        self._within.append(node)
        return self.mapping(node, ())

    def _value(self, node: yaml.Node, path: Path) -> Plain:
        self._count(node)
        if isinstance(node, yaml.ScalarNode):
            if node.tag not in _SCALARS:
                self._wrong(path, f"the tag {shown(node.tag)} is not used here: write the value alone", node)
            return None if node.tag == _NULL and node.style is None else str(node.value)
        self._within.append(node)
        plain: Plain = (
            self.mapping(node, path) if isinstance(node, yaml.MappingNode) else self._items(node, path)
        )
        self._within.pop()
        return plain

    def _count(self, node: yaml.Node) -> None:
        """Aliases make a small file large, or endless."""
        self._values += 1
        if self._values > MAX_VALUES:
            raise ConfigError((_TOO_MANY,))
        if any(node is outer for outer in self._within):
            raise ConfigError((f"line {_line(node)}: an alias that contains itself",))

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Plain]:
        if node.tag != _TAG + "map":
            self._wrong(path, f"the tag {shown(node.tag)} is not used here: write the section alone", node)
        values: dict[str, Plain] = {}
        for name, (key, value) in self._pairs(node, path).items():
            self.lines[(*path, name)] = _line(key)
            values[name] = self._value(value, (*path, name))
        return values

    def _pairs(self, node: yaml.MappingNode, path: Path) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """A mapping's keys, those merged by `<<` after its own and never over them."""
        pairs: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        merged: list[yaml.Node] = []
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._wrong(path, "a key must be a word, not a list or a section", key)
            elif key.tag == _MERGE and key.style is None:
                merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
            elif key.value in pairs:
                first = _line(pairs[key.value][0])
                self._wrong((*path, key.value), f"stands here twice (first in line {first}): keep one", key)
            else:
                pairs[key.value] = (key, value)
        for base in merged:
            self._count(base)
            if not isinstance(base, yaml.MappingNode):
                self._wrong(path, "`<<` takes a section: write `<<: *its-anchor`", base)
                continue
            self._within.append(base)
            for name, pair in self._pairs(base, path).items():
                pairs.setdefault(name, pair)
            self._within.pop()
        return pairs

    def _items(self, node: yaml.Node, path: Path) -> list[Plain]:
        if node.tag != _TAG + "seq":
            self._wrong(path, f"the tag {shown(node.tag)} is not used here: write the list alone", node)
        items: list[Plain] = []
        for position, item in enumerate(node.value):
            self.lines[(*path, position)] = _line(item)
            items.append(self._value(item, (*path, position)))
        return items

    def _wrong(self, path: Path, sentence: str, node: yaml.Node) -> None:
        self.problems.append(Problem(path, sentence, line=_line(node)))


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
