"""Keys made for one lab: its certificate authority, node certificates, SSH keys, the TSIG key.

Made anew for every lab and kept only in its folder under build/: nothing secret is committed or in an
image.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

FORCED_COMMAND = "sudo -n /usr/local/sbin/mailward-node serve"
VALID_FOR = datetime.timedelta(days=30)


def write_private(path: Path, content: bytes) -> Path:
    """Write a file only its owner may read."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    return path


class Authority:
    """The lab's CA. `ca_file` is what clients are told to trust."""

    def __init__(self, folder: Path) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mailward lab CA")])
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        self._certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.ca_file = folder / "ca.crt"
        self.ca_file.write_bytes(self._certificate.public_bytes(Encoding.PEM))

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + VALID_FOR)
        )

    def issue(self, folder: Path, names: list[str], address: str) -> None:
        """Write `tls.crt` and `tls.key` for a node that answers to `names` and `address`, and both in one
        file, `tls.pem`."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = [*map(x509.DNSName, names), x509.IPAddress(ipaddress.ip_address(address))]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            self._builder(subject, key.public_key())
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(authority, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        (folder / "tls.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_private(folder / "tls.key", private)
        write_private(folder / "tls.pem", private + certificate.public_bytes(Encoding.PEM))


def make_ssh_key(path: Path) -> str:
    """Write an ed25519 key in OpenSSH's format; returns its public half, one line."""
    key = ed25519.Ed25519PrivateKey.generate()
    write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


@dataclass(frozen=True)
class SshMaterial:
    """The controller's side of the SSH rung."""

    key_file: Path
    public_key: str
    known_hosts: Path

    @classmethod
    def make(cls, folder: Path) -> SshMaterial:
        key_file = folder / "id_ed25519"
        known_hosts = folder / "known_hosts"
        known_hosts.write_text("")
        return cls(key_file, make_ssh_key(key_file), known_hosts)

    def know(self, hosts: list[str], host_key: str) -> None:
        """Trust a host key under these names; a port other than 22 is written `[address]:port`."""
        with self.known_hosts.open("a") as file:
            file.write(f"{','.join(hosts)} {host_key}\n")

    def admit(self, node_folder: Path, hosts: list[str]) -> None:
        """Let the controller into a node known as `hosts`, for the forced command alone."""
        host_key = make_ssh_key(node_folder / "ssh_host_ed25519_key")
        (node_folder / "ssh_host_ed25519_key.pub").write_text(host_key + "\n")
        self.know(hosts, host_key)
        line = f'restrict,command="{FORCED_COMMAND}" {self.public_key}\n'
        (node_folder / "authorized_keys").write_text(line)


@dataclass(frozen=True)
class TsigKey:
    """The key `ctl.`, which may update the endpoints' names and the token TXT, nothing else."""

    name: str
    secret: str
    secret_file: Path

    @classmethod
    def make(cls, folder: Path) -> TsigKey:
        secret = base64.b64encode(os.urandom(32)).decode()
        secret_file = write_private(folder / "tsig.secret", secret.encode() + b"\n")
        config = f'key "ctl." {{ algorithm hmac-sha256; secret "{secret}"; }};\n'
        write_private(folder / "tsig.conf", config.encode())
        return cls("ctl.", secret, secret_file)
