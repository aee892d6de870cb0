"""A scenario as written: a story for the simulator, in a text file that people read aloud. Pure.

    # The leading comment: the first line is the title, the others tell what once happened, and its rule.
    cluster: two-sites            (optional: the cluster it was written for)
    with: hold_down_s 10          (optional: rules of the policy it depends upon)

    at 30 s       site-a is cut off
    at 73 s       site-a is back
    by 75 s       mail-a is out of mail.example.org       (looked at once, just before what happens then)
    until 60 s    mail-b is in mail.example.org           (all the time, from the start)
    from 2 min until the end   clients of every endpoint are served
    throughout    no accepted mail is lost
    at the end    everything is well
    at 5 min      the story ends

What can happen is `events.VERBS`, what can be claimed `claims.CLAIMS`. Every mistake is found at once, with
its line; nothing in a file is ever run, and what it may hold is bounded.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches

from mailward.model.policy import Policy, Rules
from mailward.simulator import phrases
from mailward.simulator.claims import CLAIMS, Claim
from mailward.simulator.events import VERBS, Verb
from mailward.simulator.phrases import TIME, Said

LARGEST = 64 * 1024
"""Characters of a file."""
MOST_LINES, LONGEST_LINE, MOST_PROBLEMS = 1000, 300, 50
END = "the end"
STORY_ENDS = "the story ends"

_BY_TYPE = {
    float: (re.compile(r"\d{1,9}(\.\d{1,6})?"), "a number of seconds"),
    int: (re.compile(r"\d{1,15}"), "a whole number"),
    bool: (re.compile(r"true|false"), "true or false"),
}
_FORMS = (
    (re.compile(rf"at (?P<at>{TIME}) (?P<rest>.+)"), "event"),
    (re.compile(r"at the end (?P<rest>.+)"), "end"),
    (re.compile(rf"by (?P<at>{TIME}) (?P<rest>.+)"), "by"),
    (re.compile(rf"until (?P<until>the end|{TIME}) (?P<rest>.+)"), "while"),
    (re.compile(rf"from (?P<at>{TIME}) until (?P<until>the end|{TIME}) (?P<rest>.+)"), "while"),
    (re.compile(r"throughout (?P<rest>.+)"), "while"),
)
_HOW = (
    "a line begins with a time, as `at 30 s`, `by 1 min 15 s`, `until 60 s`, `from 10 s until 2 min`,"
    " `throughout` or `at the end`"
)


@dataclass(frozen=True, slots=True)
class Event:
    """Something happens, or what `verb` began is over (`ending`)."""

    line: int
    at_s: float
    text: str
    verb: Verb
    said: Said
    ending: bool

    @property
    def key(self) -> tuple[str, tuple[str, ...]]:
        """The same for a sentence and the one that ends it."""
        ends = self.verb.ends
        return (ends.text, tuple(self.said[name] for name in ends.names)) if ends else ("", ())


@dataclass(frozen=True, slots=True)
class Expected:
    """A claim, to be true at `until_s`, or (`always`) all the time from `since_s` until then."""

    line: int
    text: str
    since_s: float
    until_s: float
    always: bool
    claim: Claim
    said: Said


@dataclass(frozen=True)
class Mistake:
    """`line` 0 is the file as a whole."""

    line: int
    sentence: str

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return where + "".join(c if c.isprintable() else repr(c)[1:-1] for c in self.sentence)


@dataclass
class Scenario:
    """What a file says. `mistakes` are those that need no cluster to be seen."""

    title: str = ""
    prose: list[str] = field(default_factory=list)
    cluster: str = ""
    rules: dict[str, float | int | bool] = field(default_factory=dict)
    rules_line: int = 0
    events: list[Event] = field(default_factory=list)
    expected: list[Expected] = field(default_factory=list)
    ends_s: float | None = None
    mistakes: list[Mistake] = field(default_factory=list)

    def problems(self, policy: Policy) -> tuple[str, ...]:
        """Every mistake, also in the names of what `policy` knows, in the order of the file."""
        found = list(self.mistakes)
        said = [(each.line, each.said) for each in self.events] + [(e.line, e.said) for e in self.expected]
        for line, names in said:
            found += [Mistake(line, text) for text in phrases.problems(names, policy)]
        texts = list(dict.fromkeys(str(one) for one in sorted(found, key=lambda one: one.line)))
        if len(texts) > MOST_PROBLEMS:
            texts[MOST_PROBLEMS:] = [f"and {len(texts) - MOST_PROBLEMS} more mistakes like these"]
        return tuple(texts)


def parse(text: str) -> Scenario:
    """A file's text; whatever it holds, this returns."""
    found = Scenario()
    if len(text) > LARGEST:
        found.mistakes.append(
            Mistake(0, f"the file is larger than {LARGEST // 1024} KiB; no story is that long")
        )
        return found
    lines = text.split("\n")
    if len(lines) > MOST_LINES:
        found.mistakes.append(Mistake(0, f"the file has {len(lines)} lines, at most {MOST_LINES} are read"))
        return found
    head = True
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\r")
        if head and line.startswith("#"):
            _comment(found, line)
            continue
        head = head and not line.strip()
        for sentence in _line(found, number, line):
            found.mistakes.append(Mistake(number, sentence))
    _as_a_whole(found)
    return found


def _comment(found: Scenario, line: str) -> None:
    said = "".join(c if c.isprintable() else " " for c in line.lstrip("#")).strip()[:LONGEST_LINE]
    if found.title:
        found.prose.append(said)
    else:
        found.title = said


def _line(found: Scenario, number: int, line: str) -> Iterator[str]:
    if len(line) > LONGEST_LINE:
        yield f"the line has {len(line)} characters, at most {LONGEST_LINE}"
        return
    line = line.replace("\t", " ")
    if not line.isprintable():
        yield "the line holds a character that cannot be printed"
        return
    words = " ".join(line.split())
    if not words or words.startswith("#"):
        return
    if words.startswith(("cluster:", "with:")):
        yield from _heading(found, number, words)
        return
    for form, kind in _FORMS:
        match = form.fullmatch(words)
        if match:
            yield from _entry(found, number, words, kind, match.groupdict())
            return
    yield f"{words!r} is not understood: {_HOW}"


def _heading(found: Scenario, number: int, words: str) -> Iterator[str]:
    name, _, value = words.partition(":")
    value = value.strip()
    if found.events or found.expected:
        yield f"`{name}:` stands before the first line of the story"
    if name == "cluster":
        found.cluster = value
        if not value or " " in value:
            yield "`cluster:` is followed by one name"
        return
    found.rules_line = found.rules_line or number
    for one in value.split(","):
        yield from _rule(found, one.split())


def _rule(found: Scenario, words: list[str]) -> Iterator[str]:
    known = {rule.name: rule.type for rule in fields(Rules)}
    if len(words) != 2:
        said = " ".join(words)
        yield f"{said!r} is no rule and its value: write as `with: hold_down_s 10, last_resort false`"
        return
    name, value = words
    if name not in known:
        close = get_close_matches(name, known, n=1)
        yield f"there is no rule {name!r}" + (f"; did you mean {close[0]}?" if close else _one_of(known))
        return
    kind = known[name]
    pattern, wanted = _BY_TYPE[kind]  # type: ignore[index]
    if not pattern.fullmatch(value):
        yield f"{name} is {wanted}, not {value!r}"
        return
    found.rules[name] = value == "true" if kind is bool else kind(value)  # type: ignore[operator]


def _one_of(known: Mapping[str, object]) -> str:
    return f"; there are: {', '.join(known)}"


def _entry(
    found: Scenario, number: int, words: str, kind: str, match: Mapping[str, str | None]
) -> Iterator[str]:
    rest = str(match["rest"])
    times = {name: text for name in ("at", "until") if (text := match.get(name)) and text != END}
    moments = {name: phrases.seconds(text) for name, text in times.items()}
    for name, text in times.items():
        if moments[name] is None:
            yield f"{text} is longer than a day"
    at_s, until_s = moments.get("at") or 0.0, moments.get("until")
    if kind == "event" and rest == STORY_ENDS:
        if found.ends_s is not None:
            yield "the story has already ended, in a line before"
        found.ends_s = float("inf") if moments["at"] is None else at_s
        return
    if kind == "event":
        yield from _event(found, number, at_s, rest)
        return
    if kind == "end":
        always, since_s, last_s = False, 0.0, float("inf")
    elif kind == "by":
        always, since_s, last_s = False, 0.0, at_s
    else:
        always, since_s, last_s = True, at_s, float("inf") if until_s is None else until_s
    if always and last_s <= since_s:
        yield f"from {since_s:g} s until {last_s:g} s is no time"
    for claim in CLAIMS:
        said = claim.phrase.match(rest)
        if said is not None:
            found.expected.append(Expected(number, words, since_s, last_s, always, claim, said))
            yield from phrases.problems(said, None)
            return
    yield f"{rest!r} is nothing that can be claimed{_meant(found, rest, [c.phrase for c in CLAIMS])}"


def _event(found: Scenario, number: int, at_s: float, rest: str) -> Iterator[str]:
    for verb in VERBS:
        for phrase, ending in ((verb.begins, False), (verb.ends, True)):
            said = phrase.match(rest) if phrase else None
            if said is not None:
                found.events.append(Event(number, at_s, rest, verb, said, ending))
                yield from phrases.problems(said, None)
                return
    known = [phrase for verb in VERBS for phrase in (verb.begins, verb.ends) if phrase]
    yield f"{rest!r} is nothing that can happen{_meant(found, rest, known)}"


def _meant(found: Scenario, rest: str, known: list[phrases.Phrase]) -> str:
    """The phrases most like it, compared by the words that are no names."""
    if len(found.mistakes) > MOST_PROBLEMS:
        return ""  # it will not be shown
    plain = {phrase.plain: " ".join(w for w in phrase.plain.split() if not w.isupper()) for phrase in known}
    words = rest.split()
    fixed = {word for text in plain.values() for word in text.split()}
    said = " ".join(word for word in words if word in fixed) or rest
    close = get_close_matches(said, dict.fromkeys(plain.values()), n=3, cutoff=0.4)
    meant = [text for one in close for text, bare in plain.items() if bare == one][:3]
    return f"; is one of these meant: {'; '.join(meant)}?" if meant else ""


def _as_a_whole(found: Scenario) -> None:
    def wrong(line: int, sentence: str) -> None:
        found.mistakes.append(Mistake(line, sentence))

    if not found.title:
        wrong(1, "the file begins with a title: `# What happened, and when`")
    if found.ends_s is None:
        wrong(0, f"nothing says when the story ends: write as `at 5 min {STORY_ENDS}`")
    if not found.expected and not found.mistakes:
        wrong(0, "nothing is expected: a scenario that cannot fail proves nothing")
    ends_s = float("inf") if found.ends_s is None else found.ends_s
    for event in found.events:
        if event.at_s >= ends_s:
            wrong(event.line, f"the story has ended by then, at {ends_s:g} s")
    for each in found.expected:
        if each.since_s >= ends_s or (each.until_s > ends_s and each.until_s != float("inf")):
            wrong(each.line, f"the story has ended by then, at {ends_s:g} s")
    found.events.sort(key=lambda event: (event.at_s, event.line))
    begun: dict[tuple[str, tuple[str, ...]], int] = {}
    for event in found.events:
        if event.ending and not begun.pop(event.key, 0):
            wrong(event.line, f"nothing has begun that this ends; {_beginning(event)}")
        if not event.ending and event.verb.ends:
            begun[event.key] = event.line


def _beginning(event: Event) -> str:
    same = [v.begins.plain for v in VERBS if v.ends is not None and v.ends.text == event.key[0]]
    return f"before it stands, with the same names: {' or '.join(same)}"
