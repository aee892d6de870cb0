"""Runs: from a new seed each time, from the seeds that once failed, and the same seed twice."""

import os
import random
import subprocess
import sys

import pytest
from tests.simulation.clusters import two_sites_and_a_witness

from mailward.simulator import virtual
from mailward.simulator.faults import host_crashes
from mailward.simulator.run import Outcome, play
from mailward.simulator.world import World

NEW = 2
HOURS = 0.25

REGRESSIONS = {
    # A failover that could be neither published nor fenced for a minute was carried out when its successor
    # had died and the node itself was well again: the last one serving left the zone.
    111: 0.25,
}


def assert_well(outcome: Outcome) -> None:
    print(f"seed {outcome.seed}: {outcome.hours:.1f} h, {dict(outcome.operations)}, {dict(outcome.faults)}")
    assert outcome.violations == (), f"seed {outcome.seed}"


@pytest.mark.parametrize("number", range(NEW))
def test_a_run_from_a_new_seed_breaks_no_rule_and_ends_well(number: int) -> None:
    assert_well(play(two_sites_and_a_witness(), random.SystemRandom().randrange(2**31), HOURS))


@pytest.mark.parametrize("seed", REGRESSIONS)
def test_a_run_that_once_failed_does_not_any_more(seed: int) -> None:
    assert_well(play(two_sites_and_a_witness(), seed, REGRESSIONS[seed]))


def test_the_same_seed_is_the_same_run_in_another_process_with_another_heap() -> None:
    code = (
        "import sys; ballast = [object() for _ in range(int(sys.argv[1]))]\n"
        "from tests.simulation.clusters import two_sites_and_a_witness as cluster\n"
        "from mailward.simulator.run import play\n"
        "print(play(cluster(), 7, 0.2).digest)"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code, str(ballast)],
            env={**os.environ, "PYTHONHASHSEED": str(ballast)},
            capture_output=True, text=True, check=True, timeout=120,
        ).stdout
        for ballast in (1, 31_337)
    }  # fmt: skip
    assert len(digests) == 1
    assert digests != {play(two_sites_and_a_witness(), 8, 0.2).digest + "\n"}


def test_who_has_no_power_stays_off_when_what_made_it_crash_is_over() -> None:
    """Booted all the same, and later once more as its plug is put back, it would lose a lease that nothing
    outside had touched."""

    async def body() -> None:
        world = World(two_sites_and_a_witness(), 1)
        crashed, host = host_crashes(world, "mail-a"), world.network.hosts["mail-a"]
        world.switched_off["mail-a"] = world.now_s
        crashed()
        after = [host.up]
        world.switch_on("mail-a")
        assert [*after, host.up] == [False, True]
        assert host.boots == 2

    virtual.run(body())
