"""Scenes for `mailward-node`, played in network namespaces: `helper_scene.py SCENE BACKEND` in a container.

Three namespaces: node (echo servers on 25, 993 and 12345, both address families on one socket), client,
and peer. Each scene starts with no rules and no state, and prints what happened as one JSON object; the
tests judge it. Standard library only: it runs where the helper runs.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

PROGRAM = "/helper/mailward-node.pyz"
WORK = "/tmp/helper"
NODE4, NODE6 = "10.9.1.1", "fd09:1::1"
CLIENT4, CLIENT6 = "10.9.1.2", "fd09:1::2"
PEER4, PEER_NODE4 = "10.9.2.2", "10.9.2.1"
SMTP, IMAPS, DSYNC = 25, 993, 12345
STORE = "abcdef01"
CLOSED, OPEN = {"smtp": "closed", "imaps": "closed"}, {"smtp": "open", "imaps": "open"}
BACKENDS = {
    "nftables": {},
    "iptables": {"nft": "exit 1"},
    "iptables-legacy": {
        "nft": "exit 1",
        **{
            name: f'exec /usr/sbin/{name.replace("tables", "tables-legacy")} "$@"'
            for name in ("iptables", "ip6tables", "iptables-restore", "ip6tables-restore")
        },
    },
}


def sh(command: str, check: bool = True) -> str:
    ran = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=30)
    if check and ran.returncode:
        raise SystemExit(f"{command}: {ran.stderr}")
    return ran.stdout + ran.stderr


def in_node(command: str, check: bool = True) -> str:
    return sh(f"ip netns exec node {command}", check)


# The world


def build() -> None:
    if "node" in sh("ip netns list"):
        return
    for name in ("node", "client", "peer"):
        sh(f"ip netns add {name}; ip -n {name} link set lo up")
    for number, name in ((1, "client"), (2, "peer")):
        sh(f"ip link add n{number} netns node type veth peer name e{number} netns {name}")
        for space, end, host in (("node", "n", 1), (name, "e", 2)):
            sh(f"ip -n {space} addr add 10.9.{number}.{host}/24 dev {end}{number}")
            sh(f"ip -n {space} addr add fd09:{number}::{host}/64 dev {end}{number} nodad")
            sh(f"ip -n {space} link set {end}{number} up")
    subprocess.Popen(["ip", "netns", "exec", "node", sys.executable, __file__, "servers"])
    enter("client")
    wait_for(lambda: all(try_connect(NODE4, port) == "accepted" for port in (SMTP, IMAPS, DSYNC)))


def servers() -> None:
    """Echo a line; after "push" go on speaking unasked, as long as that is possible."""

    def talk(connection: socket.socket) -> None:
        try:
            connection.sendall(b"hello\n")
            while data := connection.recv(100):
                connection.sendall(data)
                while data == b"push\n":
                    time.sleep(0.1)
                    connection.sendall(b".")
        except OSError:
            pass

    def accept(port: int) -> None:
        server = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
        while True:
            threading.Thread(target=talk, args=(server.accept()[0],), daemon=True).start()

    for port in (SMTP, IMAPS):
        threading.Thread(target=accept, args=(port,), daemon=True).start()
    accept(DSYNC)


def enter(space: str) -> None:
    """Sockets of this thread are made in that namespace from now on."""
    import ctypes

    with open(f"/run/netns/{space}") as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), 0):
            raise SystemExit("setns failed")


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("the scene does not come about")
        time.sleep(0.05)


def in_space(space: str, action: Callable[[], Any]) -> Any:
    """Do it in a thread of its own, in that namespace."""
    with ThreadPoolExecutor(1, initializer=enter, initargs=(space,)) as pool:
        return pool.submit(action).result()


def connect(address: str, port: int, timeout_s: float = 2.0) -> socket.socket:
    connection = socket.create_connection((address, port), timeout_s)
    connection.recv(100)
    return connection


def try_connect(address: str, port: int) -> str:
    try:
        connect(address, port, 1.0).close()
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        return type(error).__name__
    return "accepted"


def hear(connection: socket.socket, timeout_s: float = 1.0) -> str:
    """What a session gets next."""
    connection.settimeout(timeout_s)
    try:
        return "heard" if connection.recv(100) else "end"
    except ConnectionResetError:
        return "reset"
    except TimeoutError:
        return "nothing"


def say(connection: socket.socket, line: bytes = b"x\n", timeout_s: float = 1.0) -> str:
    try:
        connection.sendall(line)
    except OSError:
        return "reset"
    return hear(connection, timeout_s)


# The helper


class Helper:
    def __init__(self, backend: str, stubs: dict[str, str]) -> None:
        shutil.rmtree(WORK, ignore_errors=True)
        os.makedirs(f"{WORK}/bin")
        for name, script in {**BACKENDS[backend], **stubs}.items():
            path = f"{WORK}/bin/{name}"
            with open(path, "w") as file:
                file.write(f"#!/bin/sh\n{script}\n")
            os.chmod(path, 0o755)
        config = {
            "services": {"smtp": SMTP, "imaps": IMAPS},
            "replication_ports": [DSYNC],
            "peers": [PEER4, "fd09:2::/64"],
            "state_dir": f"{WORK}/state",
            "run_dir": f"{WORK}/run",
        }
        with open(f"{WORK}/node.json", "w") as file:
            json.dump(config, file)
        self.env = {**os.environ, "PATH": f"{WORK}/bin:{os.environ['PATH']}"}
        self.command = ["ip", "netns", "exec", "node", PROGRAM, "--config", f"{WORK}/node.json"]
        in_node("nft flush ruleset")
        for program in ("iptables-legacy", "ip6tables-legacy"):
            in_node(f"sh -c '{program} -F; {program} -X'")

    def verb(self, *arguments: str) -> str:
        ran = subprocess.run(
            [*self.command, *arguments], capture_output=True, text=True, env=self.env, timeout=30
        )
        return (ran.stdout + ran.stderr).strip()

    def start(self) -> Any:
        pipe = subprocess.PIPE
        return subprocess.Popen([*self.command, "serve"], stdin=pipe, stdout=pipe, text=True, env=self.env)

    def ask(self, request: dict[str, Any]) -> Any:
        with self.start() as process:
            hello = json.loads(process.stdout.readline())
            process.stdin.write(json.dumps({**request, "nonce": hello["nonce"]}) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

    def order(self, seq: int, ports: dict[str, str], **terms: Any) -> Any:
        return self.ask({"do": "ports", "token": f"{STORE}.1.{seq}", "ports": ports, **terms})

    def renew(self, seq: int) -> str:
        answer = self.ask({"do": "renew", "token": f"{STORE}.1.{seq}"})
        return "obeyed" if answer["ok"] else str(answer["error"])

    def status(self) -> Any:
        return self.ask({"do": "status"})["status"]


def reach() -> dict[str, str]:
    """Who gets through now."""
    return {
        "client smtp": try_connect(NODE4, SMTP),
        "client imaps": try_connect(NODE4, IMAPS),
        "client imaps v6": try_connect(NODE6, IMAPS),
        "client replication": try_connect(NODE4, DSYNC),
        "peer smtp": in_space("peer", lambda: try_connect(PEER_NODE4, SMTP)),
        "peer smtp v6": in_space("peer", lambda: try_connect("fd09:2::1", SMTP)),
        "peer imaps": in_space("peer", lambda: try_connect(PEER_NODE4, IMAPS)),
        "loopback imaps": in_space("node", lambda: try_connect("127.0.0.1", IMAPS)),
        "loopback imaps v6": in_space("node", lambda: try_connect("::1", IMAPS)),
        "own address imaps": in_space("node", lambda: try_connect(NODE4, IMAPS)),
    }


def sessions() -> dict[str, socket.socket]:
    return {
        "client smtp": connect(NODE4, SMTP),
        "client imaps": connect(NODE4, IMAPS),
        "client imaps v6": connect(NODE6, IMAPS),
        "client replication": connect(NODE4, DSYNC),
        "peer smtp": in_space("peer", lambda: connect(PEER_NODE4, SMTP)),
        "peer imaps": in_space("peer", lambda: connect(PEER_NODE4, IMAPS)),
        "loopback imaps": in_space("node", lambda: connect("127.0.0.1", IMAPS)),
    }


# The scenes


def close_and_open(backend: str) -> Any:
    helper = Helper(backend, {})
    held = sessions()
    began = time.monotonic()
    answer = helper.order(1, CLOSED)
    took_s = time.monotonic() - began
    idle = {name: hear(session, 0.3) for name, session in held.items()}
    after = {name: say(session) for name, session in held.items() if idle[name] == "nothing"}
    closed = reach()
    status = helper.status()
    opened = helper.order(2, OPEN)
    return {
        "answer": answer,
        "took_s": took_s,
        "idle": idle,
        "after": after,
        "closed": closed,
        "applied": status["applied"],
        "firewall": status["versions"]["firewall"],
        "opened": opened["ok"],
        "open": reach(),
    }


def without_ss(backend: str) -> Any:
    """A kernel or a host that cannot abort sockets: the rules alone."""
    helper = Helper(backend, {"ss": "exit 1"})
    quiet, client_speaks, server_speaks = connect(NODE4, IMAPS), connect(NODE6, IMAPS), connect(NODE4, IMAPS)
    server_speaks.sendall(b"push\n")
    helper.order(1, CLOSED)
    time.sleep(0.5)
    port = server_speaks.getsockname()[1]
    return {
        "quiet": hear(quiet, 0.2),
        "client speaks": say(client_speaks),
        "sockets left where the server spoke": in_node(f"ss -Htn dport = :{port}").strip(),
    }


def restore(backend: str) -> Any:
    helper = Helper(backend, {})
    first = helper.verb("restore")
    helper.order(1, {"smtp": "open", "imaps": "closed"})
    helper.verb("remove")
    between = reach()
    shutil.rmtree(f"{WORK}/run")
    second = helper.verb("restore")
    return {"first": first, "between": between, "second": second, "after": reach()}


def disk_full(backend: str) -> Any:
    helper = Helper(backend, {})
    sh(f"mkdir -p {WORK}/state; mount -t tmpfs -o size=64k,nr_inodes=20 tmpfs {WORK}/state")
    try:
        helper.order(1, OPEN)
        sh(f"dd if=/dev/zero of={WORK}/state/filler bs=1k count=1000", check=False)
        closed = helper.order(2, CLOSED)
        reached = reach()["client imaps"]
        opened = helper.order(3, OPEN)
        still = reach()["client imaps"]
        stale = helper.order(2, OPEN)
        os.unlink(f"{WORK}/state/filler")
        return {
            "closed": closed,
            "reached": reached,
            "opened": opened,
            "still": still,
            "stale": stale,
            "after": helper.order(4, OPEN)["ok"],
            "open": reach()["client imaps"],
        }
    finally:
        sh(f"umount -l {WORK}/state")


def other_tables(backend: str) -> Any:
    """Another firewall that accepts, and one that drops: ours refuses before either."""
    helper = Helper(backend, {})
    rules = (
        "table inet others {\n chain a {\n type filter hook input priority filter; policy accept;\n"
        f" tcp dport {IMAPS} accept\n tcp dport {SMTP} drop\n }}\n}}\n"
    )
    subprocess.run(["ip", "netns", "exec", "node", "nft", "-f", "-"], input=rules, text=True, check=True)
    try:
        helper.order(1, CLOSED)
        closed = reach()
        in_node("nft delete table inet others")
        before = helper.status()["applied"]
        in_node("nft flush ruleset")
        flushed, reached = helper.status()["applied"], reach()["client imaps"]
        helper.verb("restore")
        return {
            "closed": closed,
            "before": before,
            "flushed": flushed,
            "reached": reached,
            "restored": helper.status()["applied"],
            "after": reach()["client imaps"],
        }
    finally:
        in_node("nft delete table inet others", check=False)


def together(backend: str) -> Any:
    """Many orders at once: the highest token's map is what the kernel shows."""
    helper = Helper(backend, {})
    maps = [CLOSED, OPEN, {"smtp": "open", "imaps": "closed"}]
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda seq: helper.order(seq, maps[seq % 3]), random.sample(range(1, 25), 24))
        )
    status = helper.status()
    return {
        "errors": sorted({answer.get("error", "") for answer in answers}),
        "token": status["token"],
        "ports": status["ports"],
        "applied": status["applied"],
    }


def killed(backend: str) -> Any:
    """The helper is killed at any moment of an order: the record stays whole and never goes back."""
    helper = Helper(backend, {})
    highest, damage, back = 0, set(), 0
    for seq in range(1, 25):
        process = helper.start()
        hello = json.loads(process.stdout.readline())
        ports = CLOSED if seq % 2 else OPEN
        request = {"do": "ports", "token": f"{STORE}.1.{seq}", "ports": ports, "nonce": hello["nonce"]}
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        time.sleep(random.uniform(0, 0.06))
        os.kill(process.pid, signal.SIGKILL)  # `ip netns exec` has become the helper
        process.communicate()
        status = helper.status()
        damage.add(status["damage"])
        now = int(status["token"].rpartition(".")[2]) if status["token"] else 0
        back += now < highest
        highest = max(highest, now)
    helper.verb("restore")
    return {"highest": highest, "damage": sorted(damage), "back": back, "applied": helper.status()["applied"]}


def remove(backend: str) -> Any:
    helper = Helper(backend, {})
    helper.order(1, CLOSED)
    said = helper.verb("remove")
    rules = in_node("nft list ruleset") + in_node("iptables-legacy -S") + in_node("ip6tables-legacy -S")
    return {"said": said, "rules": rules, "open": reach(), "restored": helper.verb("restore")}


def by_hand(backend: str) -> Any:
    helper = Helper(backend, {})
    helper.order(1, CLOSED)
    with open(f"{WORK}/state/state.json", "w") as file:
        file.write("rubbish")
    os.rename(f"{WORK}/node.json", f"{WORK}/node.bak")
    said = helper.verb("open", "--force", "--reason", "test")
    reached = reach()["client imaps"]
    os.rename(f"{WORK}/node.bak", f"{WORK}/node.json")
    return {
        "said": said,
        "reached": reached,
        "closing": helper.verb("close"),
        "closed": reach()["client imaps"],
    }


class Traffic(threading.Thread):
    """Speaks over one session without pause, and opens others, until both are refused. Times are of the
    monotonic clock; `longest_s` is the longest wait for an echo."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.session = in_space("client", lambda: connect(NODE4, IMAPS))
        self.echoes = self.opened = 0
        self.longest_s = 0.0
        self.ended: dict[str, float] = {}
        self.interruptions: list[str] = []
        self.stopped = False
        self.other = threading.Thread(target=self.open_others, daemon=True)
        self.other.start()
        self.start()

    def run(self) -> None:
        while not self.stopped:
            began = time.monotonic()
            heard = say(self.session, timeout_s=0.3)
            if heard not in ("heard", "nothing"):  # the server's last word may have been refused on its way
                self.ended[heard] = time.monotonic()
                return
            self.echoes += heard == "heard"
            self.longest_s = max(self.longest_s, time.monotonic() - began)

    def open_others(self) -> None:
        enter("client")
        while not self.stopped:
            reached = try_connect(NODE4, IMAPS)
            if reached != "accepted":
                self.ended.setdefault(reached, time.monotonic())
            elif "refused" in self.ended:
                self.interruptions.append("accepted after it had been refused")
            self.opened += reached == "accepted"
            time.sleep(0.005)


LEASE_S = 3.0


def lease(backend: str) -> Any:
    """Renewed many times over; then never again."""
    helper = Helper(backend, {})
    answer = helper.order(1, OPEN, lease_s=LEASE_S)
    held = sessions()
    traffic = Traffic()
    renewals = []
    for _ in range(40):
        sent = time.monotonic()
        renewals.append(helper.renew(1))
        answered = time.monotonic()
        time.sleep(max(0.0, 0.1 - (answered - sent)))
    during = {"ended": sorted(traffic.ended), "echoes": traffic.echoes, "opened": traffic.opened}
    during["longest_s"] = traffic.longest_s
    left_s = helper.status()["lease"]["left_s"]
    wait_for(lambda: {"reset", "refused"} <= set(traffic.ended))
    silent = {name: hear(session, 0.2) for name, session in held.items()}
    after = {name: say(session) for name, session in held.items()}
    late = [helper.renew(1) for _ in range(5)]
    reached, status = reach(), helper.status()
    traffic.stopped = True
    opened = helper.order(2, OPEN, lease_s=30)
    return {
        "answer": answer["ok"],
        "renewals": sorted(set(renewals)),
        "during": during,
        "left_s": left_s,
        "ended_s": {what: [at - answered, at - sent] for what, at in traffic.ended.items()},
        "interruptions": traffic.interruptions,
        "silent": silent,
        "after": after,
        "late": sorted(set(late)),
        "reached": reached,
        "status": [status["applied"], status["lease"], status["ports"]],
        "opened": opened["ok"],
        "open": reach(),
    }


def lease_at_its_end(backend: str) -> Any:
    """Renewals at about the moment of the end: obeyed and open, or lapsed and refused for good."""
    helper = Helper(backend, {})
    seen: dict[str, list[str]] = {"obeyed": [], "lapsed": []}
    for seq in range(1, 21):
        helper.order(seq, OPEN, lease_s=1)
        time.sleep(max(0.0, random.uniform(0.75, 1.0)))
        first = helper.renew(seq)
        reached = try_connect(NODE4, IMAPS)
        again = helper.renew(seq)
        seen[first].append(f"{reached}, then {again}")
    return {first: sorted(set(those)) for first, those in seen.items()} | {
        "lapsed of 20": len(seen["lapsed"])
    }


def lease_restored(backend: str) -> Any:
    helper = Helper(backend, {})
    helper.order(1, {"smtp": "closed", "imaps": "open"}, lease_s=60)
    running = helper.verb("restore")
    undisturbed = reach()["client imaps"]
    in_node("nft flush ruleset")
    flushed = [helper.renew(1), helper.status()["applied"], helper.status()["lease"]["left_s"]]
    shutil.rmtree(f"{WORK}/run")
    booted = helper.verb("restore")
    return {
        "running": running,
        "undisturbed": undisturbed,
        "flushed": flushed,
        "booted": booted,
        "closed": reach(),
        "lease": helper.status()["lease"],
        "renewal": helper.renew(1),
        "still": reach()["client imaps"],
        "ordered": helper.order(2, OPEN, lease_s=60)["ok"],
        "open": reach()["client imaps"],
    }


def lease_without_nftables(backend: str) -> Any:
    helper = Helper(backend, {})
    refused = helper.order(1, OPEN, lease_s=60)
    return {
        "refused": [refused["error"], refused["token"]],
        "closing": helper.order(1, CLOSED, lease_s=60)["ok"],
        "closed": reach()["client imaps"],
    }


SCENES = {
    scene.__name__: scene
    for scene in (
        close_and_open,
        without_ss,
        restore,
        disk_full,
        other_tables,
        together,
        killed,
        remove,
        by_hand,
        lease,
        lease_at_its_end,
        lease_restored,
        lease_without_nftables,
    )
}

if __name__ == "__main__":
    if sys.argv[1] == "servers":
        servers()
    build()
    enter("client")
    print(json.dumps(SCENES[sys.argv[1]](sys.argv[2])))
