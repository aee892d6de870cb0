"""What the exit codes of `mailward` mean (the README has the same table), and which failure has which."""

import os
from enum import IntEnum

from mailward.model.errors import ForeignStore, MailwardError


class Exit(IntEnum):
    DONE = 0  # done; for `status --check`: everything serves and is well
    FAILED = 1  # refused, failed, rolled back or handed over; or not well
    USAGE = 2  # the command line cannot be understood
    UNREACHABLE = 3  # the daemon does not answer
    HELD = 4  # `status --check`, `--dry-run`: automation is held
    UNFINISHED = 5  # not taken up, or with --wait not finished, in time; `audit` could not read all
    FOREIGN = 78  # `run`, `state init`: store or target belong to another cluster; no use in trying again
    INTERRUPTED = 130


def judged(error: Exception) -> tuple[Exit, str]:
    """The exit code and the sentence of a failure: nobody but a developer wants a traceback, who sets
    MAILWARD_DEBUG and gets the failure itself."""
    if isinstance(error, MailwardError):
        return (Exit.FOREIGN if isinstance(error, ForeignStore) else Exit.FAILED), str(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return Exit.FAILED, f"{where}{error.strerror or error}"
    if os.environ.get("MAILWARD_DEBUG"):
        raise error
    fault = f"this is a fault of mailward's: {type(error).__name__}: {error} (MAILWARD_DEBUG=1 shows)"
    return Exit.FAILED, fault
