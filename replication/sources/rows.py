"""Rows out of doveadm's JSON, as the bytes arrive: no I/O, and no more memory than one row.

Dovecot's own JSON is taken as it is: it forgets the comma before an error in an answer to several
commands, so commas are skipped wherever they stand. A list of every user is megabytes long on a large
server, hence no `json.loads` of the whole. No streaming JSON library: the shape is three brackets.
"""

import codecs
import json
from collections.abc import Iterator, Sequence
from enum import Enum

from mailward.replication.sources.doveadm import (
    DoveadmError,
    Malformed,
    Problem,
    Question,
    Row,
    status_text,
)

MAX_VALUE_CHARS = 8192
"""The longest row. What has not ended by then is no row of ours; small, because it is read anew with
each piece that arrives."""


class Bracket(Enum):
    OPEN = "["
    CLOSE = "]"


Item = Bracket | str | dict[str, object]


class _Items:
    """Cuts text into brackets, strings and objects, whatever the pieces it arrives in."""

    def __init__(self) -> None:
        self._decode = json.JSONDecoder().raw_decode
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""

    def feed(self, data: bytes) -> Iterator[Item]:
        text = self._text + self._characters.decode(data)
        position = 0
        while position < len(text):
            first = text[position]
            if first in ", \t\r\n":
                position += 1
            elif first in "[]":
                yield Bracket(first)
                position += 1
            elif first in '{"':
                try:
                    value, end = self._decode(text, position)
                except (ValueError, RecursionError) as error:
                    if len(text) - position > MAX_VALUE_CHARS:
                        raise Malformed("a row that does not end, or is no JSON") from error
                    break
                yield value
                position = end
            else:
                raise Malformed("not JSON")
        self._text = text[position:]

    def finish(self) -> None:
        if self._text:
            raise Malformed("the answer ends in the middle of a row")


def _row(item: dict[str, object]) -> Row:
    row = {key: value for key, value in item.items() if isinstance(value, str)}
    if len(row) != len(item):
        raise Malformed("a row with a value that is no string")
    return row


class CliRows:
    """`doveadm -f json ...` prints `[row, ...]`."""

    def __init__(self) -> None:
        self._items = _Items()
        self._depth = 0
        self._ended = False

    def feed(self, data: bytes) -> Iterator[Row]:
        for item in self._items.feed(data):
            if self._ended:
                raise Malformed("more after the end of the answer")
            if isinstance(item, Bracket):
                self._depth += 1 if item is Bracket.OPEN else -1
                self._ended = self._depth == 0
                if self._depth not in (0, 1):
                    raise Malformed("not a list of rows")
            elif self._depth == 1 and isinstance(item, dict):
                yield _row(item)
            else:
                raise Malformed("not a list of rows")

    def finish(self) -> None:
        self._items.finish()
        if not self._ended:
            raise Malformed("the answer is cut off")


class HttpRows:
    """The HTTP API answers `[["doveadmResponse", [row, ...], tag], ...]`, one entry a question, and
    `["error", {"type": ..., "exitCode": ...}, tag]` with status 200: the first element counts."""

    def __init__(self, questions: Sequence[Question]) -> None:
        self._questions = questions
        self._items = _Items()
        self._depth = 0
        self._answered = 0
        self._kind = ""
        self._ended = False

    def feed(self, data: bytes) -> Iterator[tuple[Question, Row]]:
        for item in self._items.feed(data):
            if self._ended:
                raise Malformed("more after the end of the answer")
            if isinstance(item, Bracket):
                self._bracket(item)
            elif self._depth == 2 and isinstance(item, str):
                self._kind = self._kind or item
            elif self._depth == 2 and isinstance(item, dict) and self._kind == "error":
                raise DoveadmError(
                    Problem.COMMAND, f"{self._question.method}: {_error(item, self._question)}"
                )
            elif self._depth == 3 and isinstance(item, dict) and self._kind == "doveadmResponse":
                yield self._question, _row(item)
            else:
                raise Malformed("not the shape of a doveadm answer")

    @property
    def _question(self) -> Question:
        if self._answered >= len(self._questions):
            raise Malformed("more answers than questions")
        return self._questions[self._answered]

    def _bracket(self, bracket: Bracket) -> None:
        self._depth += 1 if bracket is Bracket.OPEN else -1
        if bracket is Bracket.OPEN and self._depth == 2:
            self._kind = ""
        elif bracket is Bracket.CLOSE and self._depth == 1:
            if self._kind != "doveadmResponse":
                raise Malformed("an answer that is neither rows nor an error")
            self._answered += 1
        self._ended = self._depth == 0
        if not 0 <= self._depth <= 3:
            raise Malformed("not the shape of a doveadm answer")

    def finish(self) -> None:
        self._items.finish()
        if not self._ended:
            raise Malformed("the answer is cut off")
        if self._answered != len(self._questions):
            raise Malformed(f"{self._answered} answers to {len(self._questions)} questions")


def _error(item: dict[str, object], question: Question) -> str:
    kind, status = item.get("type"), item.get("exitCode")
    if kind == "unknownMethod":
        return "this Dovecot does not know the command"
    if kind == "invalidRequest":
        return "this Dovecot does not know the parameters"
    if kind == "exitCode" and isinstance(status, int):
        return status_text(question, status)
    if kind == "unAuthorized":
        return "its doveadm_allowed_commands does not have it"
    return "an error of a kind Dovecot 2.3 does not have"
