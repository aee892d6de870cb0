"""Sentences with places to fill in: how a scenario's lines are understood. Pure.

A phrase is text whose words in capitals stand for names, times and numbers; `is|are` allows either word.
What a word in capitals may stand for is here once, with the sentence for one that is not known. `the
leader` is whoever leads when the line's moment has come.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from mailward.model.policy import Policy

STORE, CLIENTS, LEADER = "the store", "the clients", "the leader"
LONGEST_S = 86400.0
NAMED = 30
"""Names that an error lists."""

_ITEM = r'(?:the (?:leader|store|clients)|[^\s,"]{1,253})'
_LIST = rf"{_ITEM}(?:, {_ITEM})*(?: and {_ITEM})?"
_AMOUNT = r"\d+(?:\.\d{1,3})? ?(?:ms|s|min|h)"
TIME = rf"{_AMOUNT}(?: {_AMOUNT})*"
_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}

_SHAPES = {
    "SERVICES": rf"every service|{_LIST}",
    "NODES": rf"every node|{_LIST}",
    "NODE": _ITEM,
    "PLACES": _LIST,
    "OTHERS": _LIST,
    "HOSTS": _LIST,
    "DAEMONS": rf"every daemon|{_LIST}",
    "TARGET": _ITEM,
    "ENDPOINTS": rf"every endpoint|{_LIST}",
    "TIME": TIME,
    "SHIFT": rf"[+-] ?{TIME}",
    "PERCENT": r"\d{1,3} ?%",
    "COUNT": r"\d{1,4}",
    "WORDS": r'"[^"]{1,200}"',
}
_PLACEHOLDER = re.compile(r"[A-Z]{2,}")

Said = Mapping[str, str]
"""What stands in a sentence for each word in capitals."""


@dataclass(frozen=True)
class Phrase:
    """`text` is how it is written, in a document or in an error."""

    text: str

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        words = []
        for word in self.text.split(" "):
            if _PLACEHOLDER.fullmatch(word):
                words.append(f"(?P<{word}>{_SHAPES[word]})")
            else:
                words.append("(?:" + "|".join(re.escape(one) for one in word.split("|")) + ")")
        return re.compile(" ".join(words))

    @property
    def names(self) -> list[str]:
        """Its words in capitals."""
        return [word for word in self.text.split(" ") if _PLACEHOLDER.fullmatch(word)]

    def match(self, sentence: str) -> Said | None:
        found = self._pattern.fullmatch(sentence)
        return found.groupdict() if found else None

    @property
    def plain(self) -> str:
        """For people: the first of each choice of words."""
        return re.sub(r"(\S+?)\|\S+", r"\1", self.text)


def seconds(text: str) -> float | None:
    """'1 min 30 s' as 90.0; None if it is no time, or longer than a day."""
    if not re.fullmatch(TIME, text):
        return None
    parts = re.findall(r"([\d.]+) ?([a-z]+)", text)
    total = sum(float(amount) * _UNITS[unit] for amount, unit in parts)
    return total if total <= LONGEST_S else None


def shift(text: str) -> float | None:
    """'-5 s' as -5.0."""
    size = seconds(text[1:].strip())
    return None if size is None else -size if text[0] == "-" else size


def listed(text: str) -> list[str]:
    """'a, b and c' as its names."""
    return [name for part in text.split(", ") for name in part.split(" and ")]


def known_to(policy: Policy, kind: str) -> Sequence[str]:
    """The names a word in capitals may stand for, none for what is no name."""
    nodes = [node.name for node in policy.nodes]
    daemons = [observer.name for observer in policy.observers]
    servers = [f"{target}-ns{n}" for target in policy.targets for n in (1, 2)]
    hosts = [*dict.fromkeys([*nodes, *daemons]), *servers, STORE, CLIENTS, LEADER]
    found: dict[str, Sequence[str]] = {
        "SERVICES": [service.name for service in policy.services],
        "NODES": nodes,
        "NODE": nodes,
        "HOSTS": hosts,
        "PLACES": [*sites(policy), *hosts],
        "OTHERS": [*sites(policy), *hosts],
        "DAEMONS": [*daemons, LEADER],
        "TARGET": policy.targets,
        "ENDPOINTS": [endpoint.name for endpoint in policy.endpoints],
    }
    return found.get(kind, ())


def sites(policy: Policy) -> list[str]:
    return list(
        dict.fromkeys([*(n.site for n in policy.nodes), *(o.site for o in policy.observers if o.site)])
    )


def problems(said: Said, policy: Policy | None) -> list[str]:
    """What is wrong with the names (once a `policy` is known) and numbers of a sentence."""
    found = []
    for kind, text in said.items():
        if kind in ("TIME", "SHIFT") and (seconds if kind == "TIME" else shift)(text) is None:
            found.append(f"{text} is longer than a day")
        if kind == "PERCENT" and int(text.rstrip("% ")) > 100:
            found.append(f"{text} is more than all: at most 100 %")
        known = known_to(policy, kind) if policy else ()
        if not known or text.startswith("every "):
            continue
        more = f" and {len(known) - NAMED} more" if len(known) > NAMED else ""
        there = ", ".join(known[:NAMED]) + more
        found += [
            f"nothing here is named {one!r}; there are: {there}" for one in listed(text) if one not in known
        ]
    return found
