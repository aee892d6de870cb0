"""Run the measurements and write them as JSON; what cannot be measured ends it with an error."""

import argparse
import sys
from pathlib import Path

from tests.bench.cluster_moves import cluster_failovers, cluster_switchovers
from tests.bench.core_speed import decide_speed
from tests.bench.daemon_cost import daemon_cost
from tests.bench.failover_times import (
    crash_with_default_grace,
    crash_without_grace,
    hang,
    network_cut,
    node_loss,
)
from tests.bench.figures import Bench, Figure, show, write
from tests.bench.leader_changes import crash_with_three, leader_killed, leader_stopped

BENCHES: dict[str, Bench] = {
    "decide": decide_speed,
    "cost": daemon_cost,
    "crash-grace-0": crash_without_grace,
    "crash-default-grace": crash_with_default_grace,
    "hang": hang,
    "node-loss": node_loss,
    "network-cut": network_cut,
    "leader-killed": leader_killed,
    "leader-stopped": leader_stopped,
    "crash-three": crash_with_three,
    "cluster-failovers": cluster_failovers,
    "cluster-switchovers": cluster_switchovers,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--only", choices=sorted(BENCHES))
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"))
    arguments = parser.parse_args()
    figures: list[Figure] = []
    for name, bench in BENCHES.items():
        if arguments.only in (None, name):
            print(f"measuring {name} ...", flush=True)
            for each in bench():
                figures.append(each)
                print("  " + show(each), flush=True)
            write(arguments.out, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
