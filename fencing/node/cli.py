"""The verbs. `serve` is the only one the controller uses, and the only one sudoers allows it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from mailward.fencing.node.config import DEFAULT_PATH
from mailward.fencing.node.refusal import CONFIG, Refused

if TYPE_CHECKING:
    import argparse

    from mailward.fencing.node.orders import Obeyed, Orders


_REPLACED = "The controller's next order replaces this: `mailward pause` keeps it away."
_LEFT_OPEN = (
    "The controller's next order replaces this; a standby of a cluster is given none: it is left open, and"
    " nobody else is promoted, until `mailward-node close`."
)


def main(argv: list[str] | None = None) -> int:
    """Run one verb. Exit codes: 0 done, 1 refused or failed, 2 wrong usage."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments == ["serve"]:  # an order in haste: nothing that it does not need is imported
        from mailward.fencing.node.serve import serve

        return serve(DEFAULT_PATH)
    parsed = _parser().parse_args(arguments)
    try:
        code: int = parsed.run(parsed)
    except Refused as error:
        print(f"mailward-node: {error.message}", file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    import argparse

    from mailward.fencing.node import VERSION

    parser = argparse.ArgumentParser(
        prog="mailward-node", description="Opens and closes this mail node's client ports."
    )
    parser.add_argument("--version", action="version", version=f"mailward-node {VERSION}")
    parser.add_argument("--config", default=DEFAULT_PATH, metavar="FILE", help=f"default {DEFAULT_PATH}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def verb(name: str, run: object, text: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    verb("serve", _serve, "answer one request of the controller on stdin and stdout")
    shown = verb("status", _status, "what is recorded, what the firewall does, units and free space")
    shown.add_argument("--json", action="store_true", help="as the controller gets it")
    verb("restore", _restore, "give the firewall the recorded map: at boot, before the mail services")
    opening = verb("open", _open, f"open every client port by hand. {_LEFT_OPEN}")
    opening.add_argument(
        "--force", action="store_true", required=True, help="yes, whatever the controller wants"
    )
    opening.add_argument("--reason", default="no reason given", help="kept in the journal")
    closing = verb("close", _close, f"close every client port by hand. {_REPLACED}")
    closing.add_argument("--reason", default="no reason given", help="kept in the journal")
    piped = verb("connect", _connect, "pipe stdin and stdout to a service on loopback")
    piped.add_argument("service", metavar="SERVICE")
    adopting = verb("adopt", _adopt, "belong to another store: obey its tokens and no longer the old one's")
    adopting.add_argument("store", metavar="STORE-ID")
    adopting.add_argument("--force", action="store_true", required=True, help="yes, the old store is void")
    verb("remove", _remove, "take our rules out of the firewall: every port is open then; the state is kept")
    installing = verb("install", _install, "show what to set up on this node: a unit for boot, sudoers, SSH")
    installing.add_argument(
        "--user", default="mailward", help="the unprivileged user the controller comes as"
    )
    installing.add_argument("--write", action="store_true", help="write the files and enable the unit")
    return parser


def _orders(parsed: argparse.Namespace) -> Orders:
    from mailward.fencing.node.config import load_config
    from mailward.fencing.node.firewall import choose
    from mailward.fencing.node.memory import Memory
    from mailward.fencing.node.orders import Orders
    from mailward.fencing.node.sessions import end_sessions

    config = load_config(parsed.config)
    return Orders(config, Memory(config.state_dir, config.run_dir), choose, end_sessions)


def _serve(parsed: argparse.Namespace) -> int:
    from mailward.fencing.node.serve import serve

    return serve(parsed.config)


def _status(parsed: argparse.Namespace) -> int:
    from mailward.fencing.node import strictjson
    from mailward.fencing.node.config import load_config
    from mailward.fencing.node.memory import Memory
    from mailward.fencing.node.screen import lines
    from mailward.fencing.node.status import collect

    config = load_config(parsed.config)
    facts = collect(config, Memory(config.state_dir, config.run_dir))
    print(strictjson.dumps(facts) if parsed.json else "\n".join(lines(facts)))
    return 0


def _restore(parsed: argparse.Namespace) -> int:
    from mailward.fencing.node.firewall import remove_from_others
    from mailward.fencing.node.journal import note

    try:
        obeyed = _orders(parsed).restore()
        remove_from_others()
    except Refused as error:
        note(f"restore: {error.message}")
        raise
    said = "no order is recorded: all ports are left open"
    if obeyed is not None:
        ports = obeyed.record.ports or {}
        said = "restored " + ", ".join(f"{service} {state}" for service, state in sorted(ports.items()))
        said += _of_writers(obeyed)
        if obeyed.held:
            said = "every port is closed since the node has booted, until the controller's next order"
        if obeyed.lapsed:
            said += "; what is open in it was leased, and is refused until the controller's next order"
    note(f"restore: {said}")
    print(said)
    return 0


def _open(parsed: argparse.Namespace) -> int:
    from mailward.fencing.node.memory import OPEN

    try:
        return _by_hand(parsed, OPEN)
    except Refused as error:
        # The way out must work when configuration, state or lock do not.
        print(f"mailward-node: {error.message}", file=sys.stderr)
        problem = _take_out(f"open --force: {parsed.reason}", parsed)
        if problem:
            raise Refused(error.code, problem) from error
    print("open: our rules are gone from the firewall; this could not be recorded, a restart may close again")
    return 0


def _close(parsed: argparse.Namespace) -> int:
    from mailward.fencing.node.memory import CLOSED

    return _by_hand(parsed, CLOSED)


def _by_hand(parsed: argparse.Namespace, state: str) -> int:
    from mailward.fencing.node.config import load_config
    from mailward.fencing.node.firewall import remove_from_others
    from mailward.fencing.node.journal import note_by_hand
    from mailward.fencing.node.memory import OPEN

    obeyed = _orders(parsed).by_hand(state, parsed.reason)
    remove_from_others()
    note_by_hand(load_config(parsed.config).state_dir, f"every port {state} by hand: {parsed.reason}")
    services = ", ".join(sorted(obeyed.record.ports or {}))
    print(f"{state}: {services}. {_LEFT_OPEN if state == OPEN else _REPLACED}")
    if obeyed.done.writers is not None:
        print(_of_writers(obeyed).lstrip("; "))
    if not obeyed.persisted:
        print("This could not be recorded and will not survive a reboot.")
    return 0


def _of_writers(obeyed: Obeyed) -> str:
    writers = obeyed.done.writers
    if writers is None:
        return ""
    states = ", ".join(f"{name} {state}" for name, state in sorted(writers.states.items()))
    return f"; writers {'' if writers.done else 'NOT '}{writers.wanted}: {states or 'none is listed'}"


def _connect(parsed: argparse.Namespace) -> int:
    from mailward.fencing.node.config import load_config
    from mailward.fencing.node.pipe import Pipe, reach

    with Pipe(reach(load_config(parsed.config), parsed.service), 0, 1) as pipe:
        pipe.carry()
    return 0


def _adopt(parsed: argparse.Namespace) -> int:
    from mailward.fencing.node.config import load_config
    from mailward.fencing.node.journal import note_by_hand
    from mailward.fencing.node.token import STORE_ID

    if not STORE_ID.fullmatch(parsed.store):
        raise Refused(CONFIG, f"{parsed.store!r} is not a store id: 8 to 32 of the digits 0-9a-f")
    _orders(parsed).adopt(parsed.store)
    note_by_hand(load_config(parsed.config).state_dir, f"adopted store {parsed.store}")
    print(f"This node now obeys store {parsed.store}, from its first token on.")
    return 0


def _remove(parsed: argparse.Namespace) -> int:
    problem = _take_out("removed from the firewall", parsed)
    if problem:
        raise Refused(CONFIG, problem)
    print("removed: every port is open; the state is kept, and `restore` or an order brings the rules back")
    return 0


def _take_out(entry: str, parsed: argparse.Namespace) -> str:
    """Remove our rules whatever the state is; '' or why that failed."""
    from mailward.fencing.node.config import DEFAULT_STATE_DIR, load_config
    from mailward.fencing.node.firewall import every
    from mailward.fencing.node.journal import note_by_hand

    backends = every()
    if not backends:
        return "neither nft nor iptables works here: are they installed, and are you root?"
    problem = "; ".join(filter(None, (backend.remove() for backend in backends)))
    try:
        state_dir = load_config(parsed.config).state_dir
    except Refused:
        state_dir = DEFAULT_STATE_DIR
    note_by_hand(state_dir, f"{entry}{': FAILED: ' + problem if problem else ''}")
    return problem


def _install(parsed: argparse.Namespace) -> int:
    from mailward.fencing.node.install import files, guidance, write

    if parsed.write:
        for line in write(parsed.user):
            print(line)
    else:
        for path, text in files(parsed.user):
            print(f"# {path}\n{text}")
    print(guidance())
    return 0
