"""The daemon's own process. `mailward run` turns into it, so that a process which lives for years does not
carry the libraries of a command line.

    python -m mailward.app.process CONFIG LOG_FORMAT [verbose]
"""

import asyncio
import ctypes
import gc
import logging
import os
import sys
from pathlib import Path
from typing import NoReturn

from mailward.app import logs
from mailward.app.exits import Exit, judged
from mailward.model.errors import ConfigError

log = logging.getLogger("mailward.app.process")  # `__name__` is __main__ here


def become(config: Path, log_format: str, *, verbose: bool) -> NoReturn:
    """Replace this process, keeping its pid, by the daemon."""
    arguments = [str(config), log_format, *(["verbose"] if verbose else [])]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "mailward.app.process", *arguments])


def main(config: Path, log_format: str, *, verbose: bool) -> Exit:
    """Run the daemon; every failure is a sentence on stderr and an exit code."""
    try:
        _run(config, log_format, verbose=verbose)
    except ConfigError as error:
        count = len(error.problems)
        mistakes = "mistake" if count == 1 else "mistakes"
        return _failed(Exit.FAILED, f"{error}\nmailward: {config} has {count} {mistakes}; nothing was done")
    except Exception as error:
        code, text = judged(error)
        return _failed(code, f"mailward: {text}")
    return Exit.DONE


def _run(config: Path, log_format: str, *, verbose: bool) -> None:
    from mailward.app.daemon import Daemon
    from mailward.configs.loading import load

    loaded = load(config)
    logs.set_up(logs.Format(log_format), verbose=verbose)
    for warning in loaded.warnings:
        log.warning("%s: %s", config, warning)
    daemon = Daemon(loaded)
    _give_back_memory()
    asyncio.run(daemon.run())


def _give_back_memory() -> None:
    """What loading took and no longer needs, where the C library can be told."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _failed(code: Exit, text: str) -> Exit:
    sys.stderr.write(f"{text}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], verbose="verbose" in sys.argv[3:]))
