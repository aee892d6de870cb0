"""Many hours by chance, on every core: python -m tests.simulation.soak --hours 200 [--deployment cluster]

Each run has a seed of its own from one that is printed. What has been played is told now and then. The first
few runs that break a rule are shrunk to the faults it takes, and told. Ends with one JSON object.
"""

import argparse
import json
import logging
import math
import os
import random
import secrets
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from tests.simulation.clusters import CLUSTERS
from tests.simulation.shrinking import Story, drawn_story, shrunk

from mailward.simulator.run import Outcome

HOURS_A_RUN = 0.5
TOLD_EVERY = 200
"""Runs."""
MOST_SHRUNK = 3


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.soak")
    parser.add_argument("--hours", type=float, default=200.0)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    simulated = sorted({made().deployment for made in CLUSTERS.values()})
    parser.add_argument("--deployment", choices=simulated, help="clusters of this one only")
    chosen = parser.parse_args(arguments)
    todo = stories(chosen.seed, chosen.hours, chosen.deployment)
    print(f"{chosen.hours:g} simulated hours from seed {chosen.seed}", flush=True)
    began_s = time.monotonic()
    totals = Totals()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for story, outcome, cpu_s in pool.map(played, todo, chunksize=4):
            totals.add(story, outcome, cpu_s)
            if totals.runs % TOLD_EVERY == 0:
                print(f"{totals.hours:.0f} hours, {len(totals.wrong)} broke a rule", flush=True)
    logging.disable(logging.CRITICAL)
    for story in totals.wrong[:MOST_SHRUNK]:
        least, why = shrunk(story)
        print(f"\n# {why}\n{least}", flush=True)
    summary = {"seed": chosen.seed, **totals.summary(), "wall_s": round(time.monotonic() - began_s, 1)}
    print(json.dumps(summary))
    return 1 if totals.wrong else 0


def stories(seed: int, hours: float, deployment: str | None = None) -> list[Story]:
    names = sorted(name for name, made in CLUSTERS.items() if deployment in (None, made().deployment))
    rng = random.Random(seed)
    count = max(1, math.ceil(hours / HOURS_A_RUN))
    return [drawn_story(names[n % len(names)], rng.randrange(2**31), HOURS_A_RUN) for n in range(count)]


def played(story: Story) -> tuple[Story, Outcome, float]:
    logging.disable(logging.CRITICAL)
    began_s = time.process_time()
    try:
        outcome = story.play()
    except Exception as error:
        raise RuntimeError(f"{story.cluster}, seed {story.seed}: {error!r}") from error
    return story, outcome, time.process_time() - began_s


class Totals:
    """What all runs came to."""

    def __init__(self) -> None:
        self.wrong: list[Story] = []
        self.runs = self._elections = self._excused = self._outside = 0
        self.hours = self._cpu_s = 0.0
        self._operations: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._excuses: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()

    def add(self, story: Story, outcome: Outcome, cpu_s: float) -> None:
        if outcome.violations:
            self.wrong.append(story)
            print(f"{story.cluster}, seed {story.seed}:", *outcome.violations[:4], sep="\n  ", flush=True)
        self.runs += 1
        self.hours += outcome.hours
        self._cpu_s += cpu_s
        self._elections += outcome.elections
        self._excused += outcome.excused
        self._excuses.update(outcome.excused_by_reason)
        self._outside += bool(outcome.outside)
        self._reasons.update(outcome.outside)
        self._operations.update(outcome.operations)
        self._faults.update(outcome.faults)

    def summary(self) -> dict[str, Any]:
        return {
            "runs": self.runs,
            "hours": round(self.hours, 1),
            "violations": len(self.wrong),
            "excused": self._excused,
            "excused_by_reason": dict(sorted(self._excuses.items())),
            "runs_outside_the_fault_model": self._outside,
            "outside_by_reason": dict(sorted(self._reasons.items())),
            "operations": self._operations.total(),
            "operations_by_ending": dict(sorted(self._operations.items())),
            "elections": self._elections,
            "faults": self._faults.total(),
            "faults_by_kind": dict(sorted(self._faults.items())),
            "cpu_s": round(self._cpu_s, 1),
        }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
