"""`make lab`: a real cluster with a controller, left running, and the commands to try. `--down` removes it.

There is one playground; starting it anew replaces it. Tests beside it are not disturbed: each run has its
own lab.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from tests.lab.harness.cluster import Cluster
from tests.lab.harness.controller import Controller
from tests.lab.harness.engine import Engine, LabError
from tests.lab.harness.layout import BUILD, DOMAIN, ROOT

NAME = "playground"
PID_FILE = BUILD / "playground.pid"

COMMANDS = """
The lab is up: mail-a {mail_a}, mail-b {mail_b}, BIND {ns1} and {ns2}, resolver {resolver}.
Controller: pid {pid}, log {log}

  Look       {mailward} status {config}
             {mailward} status --watch {config}
             {mailward} explain mail-a {config}
             dig +short @{ns1} mail.{domain}
  Break      docker exec {prefix}-mail-a svc kill dovecot      (mended by: svc start dovecot)
             docker exec {prefix}-mail-a svc kill postfix      (svc start postfix)
             docker exec {prefix}-mail-a svc freeze dovecot    (svc thaw dovecot)
             docker exec {prefix}-mail-a svc restart dovecot 10
             docker kill {prefix}-mail-a                       (docker start ...)
             docker pause {prefix}-mail-a                      (docker unpause ...)
  By hand    {mailward} drain mail-a {config}
             {mailward} readmit mail-a {config}
             {mailward} pause --reason "trying things" {config}
  The end    {python} -m tests.lab.playground --down
"""


def up() -> None:
    """Bring the playground up and print what to try."""
    down()
    started = time.monotonic()
    print("lab: starting the cluster ...", flush=True)
    cluster = Cluster(NAME, stays=True)
    try:
        cluster.start()
        print(
            f"lab: cluster up in {time.monotonic() - started:.1f} s; starting the controller ...", flush=True
        )
        controller = Controller(cluster, stays=True)
        controller.init()
        controller.start()
    except BaseException:
        cluster.collect_logs()
        cluster.stop()
        print(f"lab: that failed; the logs are in {cluster.folder}", file=sys.stderr)
        raise
    PID_FILE.write_text(f"{controller.pid}\n")
    print(
        COMMANDS.format(
            mail_a=cluster.mail_a.address,
            mail_b=cluster.mail_b.address,
            ns1=cluster.addresses.ns1,
            ns2=cluster.addresses.ns2,
            resolver=cluster.addresses.resolver,
            domain=DOMAIN,
            pid=controller.pid,
            log=_short(controller.log_file),
            mailward=_short(Path(sys.executable).with_name("mailward")),
            python=_short(Path(sys.executable)),
            config=f"--config {_short(controller.config_file)}",
            prefix=cluster.engine.network_name,
        )
    )


def down() -> None:
    """End the controller, remove containers, network, disks and folder."""
    with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
        pid = int(PID_FILE.read_text())
        if f"{BUILD / NAME}/" in Path(f"/proc/{pid}/cmdline").read_text():
            os.kill(pid, signal.SIGTERM)
    PID_FILE.unlink(missing_ok=True)
    Engine(NAME, "").remove_all()
    shutil.rmtree(BUILD / NAME, ignore_errors=True)


def _short(path: Path) -> str:
    return os.path.relpath(path, ROOT)


def main() -> int:
    parser = argparse.ArgumentParser(description="A real mail cluster with a controller, to play with.")
    parser.add_argument("--down", action="store_true", help="remove it")
    try:
        if parser.parse_args().down:
            down()
            print("lab: gone")
        else:
            up()
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
