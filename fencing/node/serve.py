"""`serve`: answer one request on stdin and stdout, and end.

Whatever goes wrong there is one answer line, or none because the other side has gone. What was done is
journalled after the answer, so that a journal which hangs delays nothing.
"""

from __future__ import annotations

import os
import select
from typing import Any

from mailward.fencing.node import protocol, refusal, strictjson
from mailward.fencing.node.clock import Deadline
from mailward.fencing.node.config import NodeConfig, load_config
from mailward.fencing.node.firewall import choose
from mailward.fencing.node.journal import note
from mailward.fencing.node.memory import Memory, Record
from mailward.fencing.node.orders import Orders
from mailward.fencing.node.protocol import Request
from mailward.fencing.node.refusal import Refused
from mailward.fencing.node.sessions import end_sessions


def serve(config_path: str, stdin: int = 0, stdout: int = 1) -> int:
    """Say hello, read one request, answer it. Returns the exit code: 0 once an answer was given."""
    try:
        return _Session(config_path, stdin, stdout).run()
    except (BrokenPipeError, ConnectionResetError):
        return 1


class _Session:
    def __init__(self, config_path: str, stdin: int, stdout: int) -> None:
        self._stdin = stdin
        self._stdout = stdout
        self._nonce = os.urandom(16).hex()
        self._config: NodeConfig | None = None
        self._broken: Refused | None = None
        try:
            self._config = load_config(config_path)
        except Refused as error:
            self._broken = error

    def run(self) -> int:
        deadline = Deadline(protocol.WINDOW_S)
        self._say(protocol.hello(self._nonce, self._record()))
        request: Request | None = None
        try:
            line, rest = read_line(self._stdin, deadline)
            request = protocol.parse_request(line, self._nonce)
            if self._config is None:
                raise self._broken or Refused(refusal.CONFIG, "no configuration")
            answer = self._answer(self._config, request, rest, deadline)
        except Refused as error:
            answer = protocol.refused(error, self._record())
        if answer is not None:
            self._say(answer)
        if request is not None and answer is not None and _is_told(request, answer):
            note(_entry(request, answer))
        return 0

    def _answer(
        self, config: NodeConfig, request: Request, rest: bytes, deadline: Deadline
    ) -> dict[str, Any] | None:
        """The answer to give; None when it has been given, and a pipe has followed it."""
        if request.do == "status":
            from mailward.fencing.node.status import collect

            return {"ok": True, "status": collect(config, _memory(config))}
        if request.do == "connect":
            from mailward.fencing.node.pipe import Pipe, reach

            with Pipe(reach(config, request.service or ""), self._stdin, self._stdout) as pipe:
                self._say({"ok": True})
                pipe.carry(rest)
            return None
        orders = Orders(config, _memory(config), choose, end_sessions)
        if request.token is None:
            raise Refused(refusal.BAD_REQUEST, f"{request.do} wants a token")
        if request.do == "renew":
            return protocol.obeyed(orders.renew(request.token, deadline))
        if request.ports is None:
            return protocol.obeyed(orders.claim(request.token, deadline))
        return protocol.obeyed(orders.ports(request.token, request.ports, deadline, request.terms))

    def _record(self) -> Record:
        return _memory(self._config).read().record if self._config else Record()

    def _say(self, message: dict[str, Any]) -> None:
        data = strictjson.dumps(message).encode() + b"\n"
        while data:
            data = data[os.write(self._stdout, data) :]


def _memory(config: NodeConfig) -> Memory:
    return Memory(config.state_dir, config.run_dir)


def _is_told(request: Request, answer: dict[str, Any]) -> bool:
    """Whether the journal says it: what has a token, but no renewal that was obeyed, every few seconds."""
    return request.token is not None and (request.do != "renew" or not answer["ok"])


def _entry(request: Request, answer: dict[str, Any]) -> str:
    said = "obeyed" if answer["ok"] else f"refused ({answer['error']}: {answer['message']})"
    unkept = "" if answer.get("persisted", True) else ", NOT PERSISTED"
    shown = strictjson.dumps(request.ports) if request.ports is not None else ""
    terms = {name: value for name, value in request.terms._asdict().items() if value}
    return f"{request.do} {request.token} {shown}{strictjson.dumps(terms) if terms else ''}: {said}{unkept}"


def read_line(stdin: int, deadline: Deadline) -> tuple[bytes, bytes]:
    """One line and what came after it; `Refused` when it is late, too long or broken off."""
    data = b""
    poller = select.poll()
    poller.register(stdin, select.POLLIN)
    while b"\n" not in data:
        if not poller.poll(int(deadline.left_s() * 1000)) or deadline.passed():
            raise Refused(refusal.LATE, f"no request within {protocol.WINDOW_S:g} s of the hello")
        chunk = os.read(stdin, 65536)
        if not chunk:
            raise Refused(refusal.BAD_REQUEST, "the request broke off")
        data += chunk
        if len(data.partition(b"\n")[0]) > protocol.LINE_LIMIT:
            raise Refused(refusal.BAD_REQUEST, f"a request has at most {protocol.LINE_LIMIT} bytes")
    line, _, rest = data.partition(b"\n")
    if deadline.passed():
        raise Refused(refusal.LATE, f"the request came later than {protocol.WINDOW_S:g} s after the hello")
    return line, rest
