"""One figure: what was measured, how often, median and extremes."""

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    name: str
    unit: str
    n: int
    median: float
    min: float
    max: float
    note: str = ""


Bench = Callable[[], Sequence[Figure]]


def figure(name: str, unit: str, values: Sequence[float], note: str = "") -> Figure:
    """Sum up the values of one measurement."""
    if not values:
        raise ValueError(f"{name}: nothing was measured")
    rounded = [round(value, 6) for value in values]
    return Figure(name, unit, len(rounded), statistics.median(rounded), min(rounded), max(rounded), note)


def write(path: Path, figures: Sequence[Figure]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(each) for each in figures], indent=1) + "\n")


def show(each: Figure) -> str:
    return (
        f"{each.name:<34} {each.median:>10.4g} {each.unit:<8} median, {each.min:.4g} to {each.max:.4g}"
        f", n={each.n}" + (f"  ({each.note})" if each.note else "")
    )
