"""Watchdogs, systemd's and the kernel's: told that the daemon lives while its work goes round, no longer."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.unit.app.set_up import configured, mailward
from tests.unit.app.test_watchdog_device import Driver

from mailward.app import daemon as daemons
from mailward.app import petting
from mailward.app.daemon import Daemon
from mailward.app.exits import Exit
from mailward.app.live import STALLED_S
from mailward.app.watchdog import started
from mailward.configs.daemon import Watchdog as Section
from mailward.configs.loading import load
from mailward.configs.policy import digest_of
from mailward.model.clock import Moment
from mailward.model.errors import ConfigError, Unanswered


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A configuration whose store is there."""
    file = configured(tmp_path)
    assert mailward("state", "init", "--config", str(file)).exit_code == Exit.DONE
    return file


def section(**said: str) -> Section:
    return Section.model_validate(said)


# systemd's


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(daemons, "notify", lambda *said: lines.extend(said))
    return lines


@pytest.mark.parametrize(("ago_s", "lives"), [(0.0, True), (STALLED_S - 2, True), (STALLED_S + 1, False)])
async def test_systemd_is_told_that_it_lives_while_its_loop_makes_steps(
    tmp_path: Path, told: list[str], ago_s: float, lives: bool
) -> None:
    daemon = Daemon(load(configured(tmp_path)))
    daemon._last_step_s -= ago_s
    task = asyncio.create_task(daemon._tell_systemd())
    await asyncio.sleep(0.05)
    task.cancel()
    assert ("WATCHDOG=1" in told) is lives
    assert told[-1].startswith("STATUS=starting")


async def test_a_loop_that_freezes_is_told_to_systemd_no_more(made: Path, told: list[str]) -> None:
    """A whole daemon, whose loop hangs in the middle of a step: its process and its API go on."""
    daemon = Daemon(load(made))
    task = asyncio.create_task(daemon.run())
    try:
        await until(lambda: told.count("WATCHDOG=1") > 1 and "READY=1" in told)
        assert daemon._loop is not None
        frozen = asyncio.Event()

        async def hangs() -> Any:
            frozen.set()
            await asyncio.Event().wait()

        daemon._store.read = hangs  # type: ignore[method-assign]
        daemon._wake()
        await asyncio.wait_for(frozen.wait(), 5)
        turns = daemon._turns()
        daemon._last_step_s -= STALLED_S
        told.clear()
        await until(lambda: len(told) > 1)
        assert "WATCHDOG=1" not in told
        assert any("has not finished a step" in line for line in told)
        assert daemon._turns() == turns
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_one_that_waits_for_its_store_has_started_lives_and_says_so(
    made: Path, told: list[str]
) -> None:
    """Also beyond what a loop is given: nobody waits for it at boot, and nobody kills it."""
    daemon = Daemon(load(made))

    async def nobody_answers() -> Any:
        raise Unanswered("no server answers")

    daemon._store.read = nobody_answers  # type: ignore[method-assign]
    task = asyncio.create_task(daemon.run())
    try:
        await until(lambda: "STATUS=starting: no server answers" in told)
        assert told[0] == "READY=1"
        daemon._last_step_s -= 2 * STALLED_S
        told.clear()
        await until(lambda: len(told) > 2)
        assert told.count("WATCHDOG=1") > 0
        assert "READY=1" not in told
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(true: Callable[[], bool]) -> None:
    for _ in range(200):
        if true():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("not within 10 s")


# the kernel's


@dataclass
class Clock:
    """A second passes whenever it is looked at."""

    at_s: float = 0.0

    def now(self) -> Moment:
        self.at_s += 1.0
        return Moment("boot", self.at_s, self.at_s)


@dataclass
class Work:
    """Goes round until it is stuck."""

    rounds: int = 0
    stuck: bool = False

    def turns(self) -> int:
        self.rounds += 0 if self.stuck else 1
        return self.rounds


@dataclass
class Petted:
    driver: Driver = field(default_factory=Driver)
    work: Work = field(default_factory=Work)
    clock: Clock = field(default_factory=Clock)

    async def after(self, seconds: float) -> int:
        """How often it was petted in the next seconds, one petting being due in each."""
        before, end_s = len(self.driver.written), self.clock.at_s + seconds
        while self.clock.at_s < end_s:  # noqa: ASYNC110
            await asyncio.sleep(0)
        return len(self.driver.written) - before


@pytest.fixture
async def petted(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(petting, "PET_EVERY_S", 0)
    each = Petted()
    watchdog = started(Path("/dev/null"), 60, each.driver)
    assert not isinstance(watchdog, str)
    task = asyncio.create_task(petting.keep(watchdog, each.work.turns, each.clock))
    yield each
    task.cancel()


async def test_it_is_petted_while_the_work_goes_round(petted: Petted) -> None:
    assert await petted.after(100) >= 99


async def test_work_that_is_stuck_pets_for_half_a_minute_and_no_longer(
    petted: Petted, caplog: pytest.LogCaptureFixture
) -> None:
    await petted.after(10)
    petted.work.stuck = True
    assert 28 <= await petted.after(200) <= 31
    said = [each.message for each in caplog.records if each.levelno == logging.CRITICAL]
    assert said == ["the controller is stuck: this host is reset within 60 s"]
    assert petted.driver.runs


async def test_work_that_goes_on_in_time_pets_again(petted: Petted) -> None:
    petted.work.stuck = True
    await petted.after(50)
    petted.work.stuck = False
    assert await petted.after(50) >= 48


async def test_a_watchdog_that_fails_is_told_once_and_ends_nothing(
    petted: Petted, caplog: pytest.LogCaptureFixture
) -> None:
    await petted.after(5)
    petted.driver.refuses["write"] = 5
    await petted.after(20)
    assert [each.message for each in caplog.records] == ["the watchdog is not petted: Input/output error"]
    petted.driver.refuses.clear()
    assert await petted.after(20) >= 19


def test_one_that_is_required_and_cannot_be_had_keeps_the_daemon_from_starting(tmp_path: Path) -> None:
    missing = tmp_path / "watchdog"
    with pytest.raises(ConfigError) as caught:
        petting.watchdog_of(section(device=str(missing), required="true"))
    assert caught.value.problems == (
        f"watchdog.device: {missing}: it is not there: no driver is loaded; it is required",
    )


def test_one_that_is_not_required_is_missed_aloud(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert petting.watchdog_of(section(device=str(tmp_path / "watchdog"))) is None
    assert [each.levelname for each in caplog.records] == ["WARNING"]
    assert petting.watchdog_of(None) is None


async def test_a_daemon_refuses_to_start_without_the_watchdog_that_is_required(
    tmp_path: Path, made: Path
) -> None:
    (tmp_path / "watchdog").write_text("")
    made.write_text(made.read_text() + "watchdog: {device: watchdog, required: true}\n")
    with pytest.raises(ConfigError, match="it is no device; it is required"):
        await Daemon(load(made)).run()
    assert not (tmp_path / "m.sock").exists()


async def test_a_daemon_pets_it_also_while_it_waits_for_its_store_and_stops_it_for_good(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver()
    monkeypatch.setattr(petting, "started", lambda path, timeout_s: started(path, timeout_s, driver))
    monkeypatch.setattr(petting, "PET_EVERY_S", 0.01)
    made.write_text(made.read_text() + "watchdog: {device: /dev/null, timeout_s: 20}\n")
    daemon = Daemon(load(made))
    read, turns = daemon._store.read, daemon._turns()

    async def unanswered() -> Any:
        raise Unanswered("no quorum")

    daemon._store.read = unanswered  # type: ignore[method-assign]
    task = asyncio.create_task(daemon.run())
    await until(lambda: daemon._turns() > turns + 2)
    assert daemon._loop is None, "it waits"
    daemon._store.read = read  # type: ignore[method-assign]
    await until(lambda: daemon.view().decision is not None)
    before = daemon._turns()
    await until(lambda: daemon._turns() > before)
    daemon._store.read = unanswered  # type: ignore[method-assign]
    before = daemon._turns()
    await until(lambda: daemon._turns() > before + 1)
    assert (driver.timeout_s, driver.runs, len(driver.written) > 20) == (20, True, True)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert (driver.closed, driver.runs) == (True, False)


# as configured


def test_what_is_left_out_is_as_said_and_daemons_may_differ_in_it(tmp_path: Path) -> None:
    file = configured(tmp_path)
    plain = load(file)
    assert plain.watchdog is None
    file.write_text(file.read_text() + "watchdog:\n")
    config = load(file)
    assert config.watchdog is not None
    assert config.watchdog == section(device="/dev/watchdog", timeout_s="60", required="false")
    assert digest_of(plain) == digest_of(config)


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        (
            "{timeout_s: 5}",
            "5 is not between 10 and 3600 seconds (a shorter one resets a host that is only busy",
        ),
        ("{required: maybe}", "watchdog.required"),
        ("{path: /dev/watchdog}", "watchdog.path"),
        ("yes", "watchdog"),
    ],
)
def test_what_it_cannot_be_is_told(tmp_path: Path, section: str, problem: str) -> None:
    file = configured(tmp_path)
    file.write_text(file.read_text() + f"watchdog: {section}\n")
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert problem in "\n".join(caught.value.problems)


def test_the_shipped_unit_restarts_a_daemon_that_stands_still() -> None:
    """It has to be given longer than the daemon gives its loop."""
    unit = (Path(daemons.__file__).parents[1] / "configs/deployments/mailward.service").read_text()
    said = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line and not line.startswith("#"))
    assert (said["Type"], said["Restart"]) == ("notify", "on-failure")
    assert float(said["TimeoutStartSec"]) < 600, "a boot does not wait for ever"
    assert float(said["WatchdogSec"]) > STALLED_S + 5


def test_beside_a_node_the_daemon_is_let_start_the_helper() -> None:
    """The shipped unit forbids sudo, and shows what sudo starts a file system that it cannot write to."""
    folder = Path(daemons.__file__).parents[1] / "configs/deployments"
    unit, lifted = (
        dict(line.split("=", 1) for line in (folder / name).read_text().splitlines() if line[:1].isupper())
        for name in ("mailward.service", "mailward-beside-a-node.conf")
    )
    confining = {key for key in unit if key.startswith(("NoNew", "Protect", "Private"))}
    assert confining == set(lifted) == {"NoNewPrivileges", "ProtectSystem", "ProtectHome", "PrivateTmp"}
    assert set(lifted.values()) == {"no"}
