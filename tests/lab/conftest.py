"""One cluster for all tests of a run, back to health before each; its logs are kept when a test fails."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator

import pytest
from tests.lab.harness.cluster import Cluster
from tests.lab.harness.controller import Controller
from tests.lab.harness.daemons import Daemons
from tests.lab.harness.engine import LabError
from tests.lab.harness.load import LOADS, Outcome

_FAILED = pytest.StashKey[bool]()
TRIED, REFUSED = "messages tried", "answered with a 5xx"


@pytest.fixture(scope="session")
def running_cluster() -> Iterator[Cluster]:
    try:
        with Cluster(f"test-{os.getpid()}") as cluster:
            yield cluster
    except LabError as error:
        pytest.fail(f"the lab cannot run: {error}", pytrace=False)


@pytest.fixture
def told_of_failures(running_cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if request.node.stash.get(_FAILED, False):
        running_cluster.collect_logs()


@pytest.fixture
def cluster(running_cluster: Cluster, told_of_failures: None) -> Cluster:
    """The cluster, whole: every test may leave it in ruins."""
    running_cluster.heal()
    return running_cluster


@pytest.fixture(scope="module")
def daemons(running_cluster: Cluster) -> Iterator[Daemons]:
    """Three of them, with nothing to do; who wants others has a fixture of this name."""
    running_cluster.heal()
    with Daemons(running_cluster) as running:
        running.settle()
        yield running


@pytest.fixture(autouse=True)
def senders_in_doubt_are_told_to_come_again(record_property: Callable[[str, object], None]) -> Iterator[None]:
    """I15: whatever is done to the servers, and by us, no sender of any test is answered with a 5xx."""
    LOADS.clear()
    yield
    refused = [attempt for load in LOADS for attempt in load.of(Outcome.PERMFAIL)]
    record_property(TRIED, sum(len(load.attempts) for load in LOADS))
    record_property(REFUSED, len(refused))
    assert refused == []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was answered to the senders of all tests."""
    told = [found for reports in terminalreporter.stats.values() for found in reports]
    ends = [each for each in told if isinstance(each, pytest.TestReport) and each.when == "teardown"]
    tried, refused = (
        sum(int(str(value)) for each in ends for key, value in each.user_properties if key == which)
        for which in (TRIED, REFUSED)
    )
    terminalreporter.write_line(f"lab: {tried} messages were tried, {refused} of them answered with a 5xx")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
        report.sections.append(("Daemons that run", Controller.stories()))
    return report
