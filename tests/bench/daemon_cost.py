"""What the daemon costs in steady state: memory and CPU beside a healthy lab of two nodes."""

import time
from collections.abc import Sequence

import psutil
from tests.bench.figures import Figure, figure
from tests.lab.harness.cluster import Cluster
from tests.lab.harness.controller import Controller

SETTLE_S = 20.0
SAMPLES = 6
SAMPLE_S = 10.0


def daemon_cost() -> Sequence[Figure]:
    with Cluster("bench-cost") as cluster, Controller(cluster) as controller:
        time.sleep(SETTLE_S)
        process = psutil.Process(controller.pid)
        cpu, rss = [], []
        for _ in range(SAMPLES):
            before = process.cpu_times()
            time.sleep(SAMPLE_S)
            after = process.cpu_times()
            used = after.user + after.system - before.user - before.system
            cpu.append(100 * used / SAMPLE_S)
            rss.append(process.memory_info().rss / 1e6)
    return [
        figure("daemon-rss", "MB", rss, "two nodes, four services each"),
        figure("daemon-cpu", "% core", cpu, "steady state, all healthy"),
    ]
