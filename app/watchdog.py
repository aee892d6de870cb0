"""The kernel's watchdog (`/dev/watchdog`): it resets this host when it is not petted for a while.

Petted by a daemon whose loop goes round, it resets the host of one that is stuck or stopped, and such a node
boots closed. That is all: it says nothing to anybody else, and no promotion counts on it.

Opening the device starts it. The letter V before closing stops it again (magic close); where the driver is
`nowayout` nothing does. A device node without a driver, and a file that only stands at its place, are
refused: to pet them protects from nothing. The numbers of ioctl are those of Linux on x86 and ARM.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_INFO = struct.Struct("=II32s")
_INT = struct.Struct("=i")
GET_SUPPORT, SET_TIMEOUT, GET_TIMEOUT = 0x80285700, 0xC0045706, 0x80045707
SETS_TIMEOUT, OUTLIVES = 0x0080, 0x0100
PET, STOP = b"\0", b"V"

_WHY = {
    errno.ENOENT: "it is not there: no driver is loaded",
    errno.ENODEV: "only the device node is there, and no driver behind it",
    errno.ENXIO: "only the device node is there, and no driver behind it",
    errno.EBUSY: "another program has it open (systemd, with RuntimeWatchdogSec=?)",
    errno.EACCES: "this user may not open it",
    errno.EPERM: "this user may not open it",
}


class Device(Protocol):
    """A file that was opened for writing."""

    def is_character_device(self) -> bool: ...

    def ioctl(self, number: int, argument: bytes) -> bytes: ...

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class Opened:
    """A real one; OSError where it cannot be opened. It does not wait, as for a fifo that nobody reads."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def is_character_device(self) -> bool:
        return stat.S_ISCHR(os.fstat(self._fd).st_mode)

    def ioctl(self, number: int, argument: bytes) -> bytes:
        return fcntl.ioctl(self._fd, number, argument)

    def write(self, data: bytes) -> None:
        os.write(self._fd, data)

    def close(self) -> None:
        os.close(self._fd)


@dataclass(frozen=True, slots=True)
class Watchdog:
    """One that runs: it resets the host `timeout_s` after it was petted last. `outlives`: also when the
    process has been killed; else it stops however the device is closed."""

    device: Device
    name: str
    timeout_s: int
    outlives: bool

    def pet(self) -> None:
        """OSError where it does not take it."""
        self.device.write(PET)

    def close(self) -> None:
        """A clean stop."""
        try:
            self.device.write(STOP)
        finally:
            self.device.close()


def started(path: Path, timeout_s: int, open_: Callable[[Path], Device] = Opened) -> Watchdog | str:
    """Start the watchdog at `path`, or why there is none to count on; then none runs."""
    try:
        if not stat.S_ISCHR(path.stat().st_mode):
            return f"{path}: it is no device"
        device = open_(path)
    except OSError as error:
        return f"{path}: {_WHY.get(error.errno or 0, error.strerror)}"
    return _begun(device, path, timeout_s)


def _begun(device: Device, path: Path, timeout_s: int) -> Watchdog | str:
    if not device.is_character_device():
        device.close()
        return f"{path}: it is no device"
    try:
        options, _, identity = _INFO.unpack(device.ioctl(GET_SUPPORT, bytes(_INFO.size)))
    except OSError as error:  # nothing is written to what may be something else
        device.close()
        return f"{path}: it is no watchdog ({error.strerror})"
    name = identity.partition(b"\0")[0].decode(errors="replace")
    watchdog = Watchdog(device, name, timeout_s, outlives=bool(options & OUTLIVES))
    why, granted_s = "", 0
    try:
        if options & SETS_TIMEOUT:
            device.ioctl(SET_TIMEOUT, _INT.pack(timeout_s))
        (granted_s,) = _INT.unpack(device.ioctl(GET_TIMEOUT, bytes(_INT.size)))
        watchdog.pet()
    except OSError as error:
        why = f"it does not take {timeout_s} s: {error.strerror}"
    if not why and granted_s < timeout_s:
        why = f"it waits {granted_s} s only, not the {timeout_s} s of timeout_s"
    if why:
        _give_up(watchdog)
        return f"{path} ({name}): {why}"
    return Watchdog(device, name, granted_s, watchdog.outlives)


def _give_up(watchdog: Watchdog) -> None:
    try:
        watchdog.close()
    except OSError:
        return  # said already: it cannot be used
