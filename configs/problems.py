"""One mistake: where it stands in the file, and a sentence that says what would be right."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Path = tuple[str | int, ...]
"""Keys and list positions from the top of the file: `("nodes", "mail-a", "addresses", 0)`."""

MOST = 100


@dataclass(frozen=True)
class Problem:
    """`about` are other places the mistake depends on: where one of these could not be understood, the
    problem may only be its shadow, and is left out. `line` is set where the path does not say it."""

    path: Path
    sentence: str
    about: tuple[Path, ...] = ()
    line: int = 0

    def depends_on(self, place: Path) -> bool:
        return any(overlap(mine, place) for mine in (self.path, *self.about))


@dataclass
class Findings:
    """What looking at the files that are named has come to; warnings are sentences with their place."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def overlap(one: Path, other: Path) -> bool:
    """Whether one lies within the other."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def dotted(path: Path) -> str:
    """`nodes.mail-a.addresses[0]`, printable and bounded whatever the file holds."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
            continue
        key = step if step.isprintable() and step.strip() == step and step else repr(step)
        text += ("." if text else "") + (key if len(key) <= 80 else key[:80] + "…")
    return text


def _printable(text: str) -> str:
    """Names in a sentence are the file's, and may hold what a terminal would obey."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def sentences(problems: Iterable[Problem], lines: Mapping[Path, int]) -> tuple[str, ...]:
    """All problems as text, in the order of the file, each with its line where that is known."""

    def line(problem: Problem) -> int:
        if problem.line:
            return problem.line
        for length in range(len(problem.path), 0, -1):
            found = lines.get(problem.path[:length])
            if found is not None:
                return found
        return 0

    texts = []
    for problem in sorted(problems, key=line):
        where = f"line {line(problem)}: " if line(problem) else ""
        place = dotted(problem.path)
        texts.append(f"{where}{place}{': ' if place else ''}{_printable(problem.sentence)}")
    texts = list(dict.fromkeys(texts))
    if len(texts) > MOST:
        texts[MOST:] = [f"and {len(texts) - MOST} more problems like these"]
    return tuple(texts)
