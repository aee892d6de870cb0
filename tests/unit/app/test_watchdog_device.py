"""The kernel's watchdog: one that does not run is never taken for one that does."""

from __future__ import annotations

import errno
import os
import stat
import struct
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mailward.app.watchdog import (
    GET_SUPPORT,
    GET_TIMEOUT,
    OUTLIVES,
    SET_TIMEOUT,
    SETS_TIMEOUT,
    Opened,
    Watchdog,
    started,
)

EVERYTHING = SETS_TIMEOUT | OUTLIVES


@dataclass
class Driver:
    """A driver as the kernel's: it counts from when it is opened, and only V before closing stops it."""

    options: int = EVERYTHING
    timeout_s: int = 30
    most_s: int = 600
    character: bool = True
    refuses: dict[int | str, int] = field(default_factory=dict)
    runs: bool = False
    closed: bool = False
    written: list[bytes] = field(default_factory=list)

    def __call__(self, path: Path) -> Driver:
        self.runs = True
        return self

    def is_character_device(self) -> bool:
        return self.character

    def ioctl(self, number: int, argument: bytes) -> bytes:
        self._refuse(number)
        if number == GET_SUPPORT:
            assert len(argument) == (number >> 16) & 0x3FFF == 40
            return struct.pack("=II32s", self.options, 0, b"Software Watchdog")
        assert len(argument) == (number >> 16) & 0x3FFF == 4
        if number == SET_TIMEOUT:
            self.timeout_s = min(struct.unpack("=i", argument)[0], self.most_s)
        else:
            assert number == GET_TIMEOUT
        return struct.pack("=i", self.timeout_s)

    def write(self, data: bytes) -> None:
        self._refuse("write")
        self.written.append(data)

    def close(self) -> None:
        self.closed = True
        if b"V" in self.written[-1:] or not self.options & OUTLIVES:
            self.runs = False

    def _refuse(self, what: int | str) -> None:
        if what in self.refuses:
            raise OSError(self.refuses[what], os.strerror(self.refuses[what]))


@pytest.fixture
def null() -> Path:
    """A character device, so that the fake is asked at all."""
    return Path("/dev/null")


def test_it_is_started_petted_and_stopped_for_good(null: Path) -> None:
    driver = Driver()
    watchdog = started(null, 60, driver)
    assert isinstance(watchdog, Watchdog)
    assert (watchdog.name, watchdog.timeout_s, watchdog.outlives) == ("Software Watchdog", 60, True)
    watchdog.pet()
    assert driver.runs
    assert b"V" not in b"".join(driver.written)
    watchdog.close()
    assert (driver.closed, driver.runs) == (True, False)


def test_one_that_grants_more_is_taken_at_its_word(null: Path) -> None:
    found = started(null, 60, Driver(options=OUTLIVES, timeout_s=90))
    assert isinstance(found, Watchdog)
    assert found.timeout_s == 90


def test_one_that_stops_with_the_process_says_so(null: Path) -> None:
    found = started(null, 60, Driver(options=SETS_TIMEOUT))
    assert isinstance(found, Watchdog)
    assert not found.outlives


@pytest.mark.parametrize(
    ("driver", "why"),
    [
        (Driver(most_s=30), "it waits 30 s only, not the 60 s of timeout_s"),
        (Driver(options=OUTLIVES), "it waits 30 s only, not the 60 s of timeout_s"),
        (Driver(refuses={SET_TIMEOUT: errno.EINVAL}), "it does not take 60 s: Invalid argument"),
        (Driver(refuses={GET_TIMEOUT: errno.EOPNOTSUPP}), "it does not take 60 s: Operation not supported"),
    ],
)
def test_one_that_would_reset_too_early_is_refused_and_stopped(null: Path, driver: Driver, why: str) -> None:
    assert started(null, 60, driver) == f"/dev/null (Software Watchdog): {why}"
    assert (driver.closed, driver.runs) == (True, False)


def test_one_that_takes_no_petting_is_refused(null: Path) -> None:
    driver = Driver(refuses={"write": errno.EIO})
    assert started(null, 60, driver) == (
        "/dev/null (Software Watchdog): it does not take 60 s: Input/output error"
    )
    assert driver.closed


def test_nothing_is_written_to_what_is_something_else(null: Path) -> None:
    driver = Driver(refuses={GET_SUPPORT: errno.ENOTTY})
    assert started(null, 60, driver) == ("/dev/null: it is no watchdog (Inappropriate ioctl for device)")
    assert (driver.written, driver.closed) == ([], True)


def test_what_took_its_place_while_it_was_opened_is_refused(null: Path) -> None:
    driver = Driver(character=False)
    assert started(null, 60, driver) == "/dev/null: it is no device"
    assert (driver.written, driver.closed) == ([], True)


# what a real kernel says


def test_a_device_that_is_no_watchdog_is_refused() -> None:
    assert started(Path("/dev/null"), 60) == "/dev/null: it is no watchdog (Inappropriate ioctl for device)"


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    path = tmp_path / "watchdog"
    assert started(path, 60) == f"{path}: it is not there: no driver is loaded"


@pytest.mark.parametrize("kind", ["file", "fifo", "directory", "link"])
def test_what_only_stands_there_is_refused_and_left_alone(tmp_path: Path, kind: str) -> None:
    """A shell that pets it has left a plain file; a fifo would hold us up for ever."""
    path = tmp_path / "watchdog"
    if kind == "file":
        path.write_text("kept")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        (tmp_path / "other").write_text("kept")
        path.symlink_to(tmp_path / "other")
    assert started(path, 60) == f"{path}: it is no device"
    if kind in ("file", "link"):
        assert path.read_text() == "kept"


@pytest.mark.parametrize("number", [os.makedev(10, 255), os.makedev(249, 7)])
def test_a_device_node_without_a_driver_is_refused(tmp_path: Path, number: int) -> None:
    """As an image copied to another machine has one. Not by a watchdog's own number: this machine may have a
    driver for it. Only root makes device nodes; what the kernel says of others is below."""
    path = tmp_path / "watchdog"
    assert not os.path.exists(f"/sys/dev/char/{os.major(number)}:{os.minor(number)}")
    if os.geteuid() == 0:
        os.mknod(path, 0o600 | stat.S_IFCHR, number)
        assert started(path, 60) == f"{path}: only the device node is there, and no driver behind it"


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (errno.ENODEV, "only the device node is there, and no driver behind it"),
        (errno.ENXIO, "only the device node is there, and no driver behind it"),
        (errno.EBUSY, "another program has it open (systemd, with RuntimeWatchdogSec=?)"),
        (errno.EACCES, "this user may not open it"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_why_it_cannot_be_opened_is_told(null: Path, number: int, why: str) -> None:
    def fails(path: Path) -> Opened:
        raise OSError(number, os.strerror(number))

    assert started(null, 60, fails) == f"/dev/null: {why}"
