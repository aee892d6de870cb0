"""`make lab`: a real hybrid with one controller, or with DEPLOYMENT=cluster a real cluster with three daemons
and three ZooKeeper servers; left running, with the commands to try. `--down` removes it, `--back NODE` boots
a node that was lost or switched off, with what runs beside it.

There is one playground; starting it anew replaces it. Tests beside it are not disturbed: each run has its
own lab.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tests.lab.harness import helper
from tests.lab.harness.cluster import Cluster
from tests.lab.harness.controller import PROGRAM, Controller
from tests.lab.harness.engine import NOBODY, Engine, LabError
from tests.lab.harness.layout import BUILD, DOMAIN, ROOT
from tests.lab.harness.node import MailNode
from tests.lab.harness.sites import Sites

NAME = "playground"
PIDS = BUILD / "playground.json"
"""Of every daemon: its process and its configuration, by its name."""
DEPLOYMENTS = ("hybrid", "cluster")

COMMANDS = """
The lab is up: mail-a {mail_a}, mail-b {mail_b}, BIND {ns1} and {ns2}, resolver {resolver}.
{daemons}

  Look       {mailward} status {config}
             {mailward} status --watch {config}
             {mailward} explain mail-a {config}
             dig +short @{ns1} mail.{domain}
  Break      docker exec {prefix}-mail-a svc kill dovecot      (mended by: svc start dovecot)
             docker exec {prefix}-mail-a svc kill postfix      (svc start postfix)
             docker exec {prefix}-mail-a svc freeze dovecot    (svc thaw dovecot)
             docker exec {prefix}-mail-a svc restart dovecot 10
             docker pause {prefix}-mail-a                      (docker unpause ...)
{rest}\
             {mailward} pause --reason "trying things" {config}
  The end    {python} -m tests.lab.playground --down
"""
OF_A_HYBRID = """\
             docker kill {prefix}-mail-a                       (docker start ...)
  By hand    {mailward} drain mail-a {config}
             {mailward} readmit mail-a {config}
"""
OF_A_CLUSTER = """\
             docker kill {prefix}-mail-a                       (also when mailward has switched it off:
               {python} -m tests.lab.playground --back mail-a)
             kill -STOP {pid}                                  (the daemon beside mail-a; kill -CONT)
             docker pause {prefix}-zookeeper1                  (beside mail-a; 2 mail-b, 3 witness)
             docker exec {prefix}-mail-a nft "table inet cut {{ chain in {{ type filter hook input priority
               -300; ip saddr {{ {mail_b}, {witness}, {ns1}, {ns2} }} drop; }}; }}"
                                                  (its site cut off; ended by: nft delete table inet cut)
  By hand    {mailward} switchover mail-b --wait {config}
             {mailward} failover mail-b {config}
             {mailward} explain mail-a {config}           (while it waits for you: what to type)
"""


def up(deployment: str) -> None:
    """Bring the playground up and print what to try."""
    down()
    started = time.monotonic()
    print("lab: starting the mail servers ...", flush=True)
    cluster = Cluster(NAME, stays=True)
    try:
        cluster.start()
        print(f"lab: up in {time.monotonic() - started:.1f} s; starting {deployment} ...", flush=True)
        daemons = _cluster(cluster) if deployment == "cluster" else _hybrid(cluster)
    except BaseException:
        cluster.collect_logs()
        cluster.stop()
        print(f"lab: that failed; the logs are in {cluster.folder}", file=sys.stderr)
        raise
    _keep({name: (daemon.pid, str(daemon.config_file)) for name, daemon in daemons.items()})
    asked = daemons.get("witness") or next(iter(daemons.values()))
    told = [f"{name}: pid {daemon.pid}, log {_short(daemon.log_file)}" for name, daemon in daemons.items()]
    rest = OF_A_CLUSTER if deployment == "cluster" else OF_A_HYBRID
    words = {
        "mail_a": cluster.mail_a.address,
        "mail_b": cluster.mail_b.address,
        "witness": cluster.addresses.witness,
        "ns1": cluster.addresses.ns1,
        "ns2": cluster.addresses.ns2,
        "resolver": cluster.addresses.resolver,
        "domain": DOMAIN,
        "daemons": "\n".join(told),
        "pid": next(iter(daemons.values())).pid,
        "mailward": _short(PROGRAM),
        "python": _short(Path(sys.executable)),
        "config": f"--config {_short(asked.config_file)}",
        "prefix": cluster.engine.network_name,
    }
    print(COMMANDS.format(rest=rest.format(**words), **words))


def _hybrid(cluster: Cluster) -> Mapping[str, Controller]:
    controller = Controller(cluster, stays=True)
    controller.init()
    return {"controller": controller.start()}


def _cluster(cluster: Cluster) -> Mapping[str, Controller]:
    """Each node has a power switch."""
    return Sites(cluster, stays=True).__enter__().daemons.each


def down() -> None:
    """End the daemons, remove containers, network, disks and folder."""
    for name in _kept():
        _end(name)
    PIDS.unlink(missing_ok=True)
    Engine(NAME, "").remove_all()
    shutil.rmtree(BUILD / NAME, ignore_errors=True)


def back(name: str) -> None:
    """Boot a node, and start in its new network what ran beside it."""
    kept = _kept()
    if name not in kept or name == "controller":
        raise LabError(f"there is no daemon beside {name}: this is for DEPLOYMENT=cluster")
    _end(name)
    engine = Engine(NAME, NOBODY)
    node = MailNode(name, "", engine.container(name))
    node.boot()
    server = engine.container(f"zookeeper{1 + list(kept).index(name)}")
    server.restart(timeout=0)
    log = Path(kept[name][1]).with_name("mailward.log").open("ab")
    process = subprocess.Popen(
        [*node.inside(), str(PROGRAM), "run", "--config", kept[name][1]],
        stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=ROOT,
        env={**os.environ, **helper.beside(node, Path(kept[name][1]).parent)},
    )  # fmt: skip
    _keep({**kept, name: (process.pid, kept[name][1])})


def _kept() -> dict[str, tuple[int, str]]:
    with contextlib.suppress(FileNotFoundError, ValueError):
        return {name: (int(pid), str(file)) for name, (pid, file) in json.loads(PIDS.read_text()).items()}
    return {}


def _keep(daemons: Mapping[str, tuple[int, str]]) -> None:
    PIDS.write_text(json.dumps(daemons) + "\n")


def _end(name: str) -> None:
    pid, config = _kept()[name]
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        if config in Path(f"/proc/{pid}/cmdline").read_text():
            os.kill(pid, signal.SIGKILL)  # one that was stopped ends by nothing else


def _short(path: Path) -> str:
    return os.path.relpath(path, ROOT)


def main() -> int:
    parser = argparse.ArgumentParser(description="A real mail cluster with its daemons, to play with.")
    parser.add_argument("--deployment", choices=DEPLOYMENTS, default=DEPLOYMENTS[0])
    parser.add_argument("--down", action="store_true", help="remove it")
    parser.add_argument("--back", metavar="NODE", help="boot a node of a cluster that was lost")
    arguments = parser.parse_args()
    try:
        if arguments.down:
            down()
            print("lab: gone")
        elif arguments.back:
            back(arguments.back)
            print(f"lab: {arguments.back} boots")
        else:
            up(arguments.deployment)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
