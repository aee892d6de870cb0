"""What the exit codes of `mailward` mean; the README has the same table."""

from enum import IntEnum


class Exit(IntEnum):
    DONE = 0  # done; for `status --check`: everything serves and is well
    FAILED = 1  # refused, failed, rolled back or handed over; or not well
    USAGE = 2  # the command line cannot be understood
    UNREACHABLE = 3  # the daemon does not answer
    HELD = 4  # `status --check`, `--dry-run`: automation is held
    UNFINISHED = 5  # not taken up, or with --wait not finished, in time
    FOREIGN = 78  # `run`, `state init`: store or target belong to another cluster; no use in trying again
    INTERRUPTED = 130
