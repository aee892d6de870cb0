"""The demo's stage: a directory with certificates and a configuration, and the processes on it."""

import asyncio
import datetime
import os
import signal
import socket
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mailward.app.demo.node import PASSWORD, USER
from mailward.controller.coordination.local import init

ENDPOINT = "mail.demo.test"
ADDRESSES = {"mail-a": "127.0.0.11", "mail-b": "127.0.0.12"}
_STOP_S = 3.0

_CONFIG = """\
cluster: demo
deployment: hybrid
automation: act
nodes:
  mail-a: {{site: north, addresses: [{a}], hostname: mail-a.demo.test}}
  mail-b: {{site: south, addresses: [{b}], hostname: mail-b.demo.test}}
helper: none            # nobody closes ports here: that needs root
replication: none
services:
  smtp: {{port: {smtp}, probe: {{interval_s: 1, timeout_s: 1}}}}
  imaps: {{port: {imaps}, probe: {{interval_s: 1, timeout_s: 1}}}}
canary: {{user: {user}, password_file: canary}}
tls: {{ca_file: ca.pem}}
endpoints:
  {endpoint}: {{services: [smtp, imaps], ttl_s: 1}}
dns:
  here:
    embedded: {{zone: demo.test, listen: ["127.0.0.1:{dns}"], ns: [ns.example.net]}}
coordination: {{local: {{directory: store}}}}
api: {{socket: mailward.sock}}
policy: {{stable_s: 1, hold_down_s: 1}}
"""


@dataclass
class Stage:
    """`directory` holds everything; `dns_port` is where the embedded name server answers."""

    directory: Path
    dns_port: int
    smtp_port: int
    imaps_port: int
    processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.directory / "mailward.yaml"

    @property
    def api_socket(self) -> Path:
        return self.directory / "mailward.sock"

    async def start_node(self, name: str) -> None:
        ports = (str(self.smtp_port), str(self.imaps_port))
        await self._start(
            name, "-m", "mailward.app.demo.node", f"{name}.demo.test", ADDRESSES[name], *ports,
            str(self.directory / "node.pem"),
        )  # fmt: skip

    async def start_daemon(self) -> None:
        await self._start("mailward", "-m", "mailward.app.cli", "run", "--config", str(self.config))

    async def _start(self, name: str, *arguments: str) -> None:
        with (self.directory / f"{name}.log").open("ab") as output:
            self.processes[name] = await asyncio.create_subprocess_exec(
                sys.executable, *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output
            )

    def signal(self, name: str, number: signal.Signals) -> None:
        self.processes[name].send_signal(number)

    def died(self, name: str) -> str:
        """The end of the log of a process that is gone, '' while it runs."""
        if self.processes[name].returncode is None:
            return ""
        log = self.directory / f"{name}.log"
        return log.read_text(errors="replace")[-2000:] or "it left no log"

    async def stop(self) -> None:
        for process in self.processes.values():
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.processes.values():
            try:
                await asyncio.wait_for(process.wait(), _STOP_S)
            except TimeoutError:
                process.kill()
                await process.wait()


def build(directory: Path) -> Stage:
    """Write certificates, configuration and a fresh store into an empty directory."""
    smtp, imaps, dns = free_ports()
    stage = Stage(directory, dns, smtp, imaps)
    _write_certificates(directory)
    _private(directory / "canary", PASSWORD.encode())
    text = _CONFIG.format(
        a=ADDRESSES["mail-a"], b=ADDRESSES["mail-b"], smtp=smtp, imaps=imaps, dns=dns, user=USER,
        endpoint=ENDPOINT,
    )  # fmt: skip
    stage.config.write_text(text)
    init(directory / "store")
    return stage


def free_ports() -> tuple[int, int, int]:
    """Two TCP ports free on both nodes' addresses, and one free for TCP and UDP on 127.0.0.1."""
    found: list[int] = []
    with ExitStack() as held:
        for places in (ADDRESSES.values(), ADDRESSES.values(), ("127.0.0.1",)):
            found.append(_free_port(tuple(places), held))
    return found[0], found[1], found[2]


def _free_port(addresses: tuple[str, ...], held: ExitStack) -> int:
    for _ in range(50):
        first = held.enter_context(socket.socket())
        first.bind((addresses[0], 0))
        port: int = first.getsockname()[1]
        try:
            for address in addresses[1:]:
                held.enter_context(socket.socket()).bind((address, port))
            held.enter_context(socket.socket(type=socket.SOCK_DGRAM)).bind((addresses[0], port))
        except OSError:
            continue
        return port
    raise OSError("no port is free on all of " + ", ".join(addresses))


def _write_certificates(directory: Path) -> None:
    """A CA and one certificate for the endpoint's name, for 30 days."""
    now = datetime.datetime.now(datetime.UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mailward demo CA")])

    def certificate(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=30))
        )

    ca = certificate(ca_name, ca_key.public_key()).add_extension(x509.BasicConstraints(True, 0), True)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ENDPOINT)])
    names = x509.SubjectAlternativeName([x509.DNSName(ENDPOINT)])
    node = certificate(name, key.public_key()).add_extension(names, False)
    pem = serialization.Encoding.PEM
    (directory / "ca.pem").write_bytes(ca.sign(ca_key, hashes.SHA256()).public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _private(directory / "node.pem", node.sign(ca_key, hashes.SHA256()).public_bytes(pem) + private)


def _private(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
