"""Reads secrets, and looks at the other files the configuration names, once, when it is loaded.

A secret comes from a file or an environment variable and ends in a `SecretStr` of its section. No value
is ever part of a sentence, not even a wrong one. Readable by everybody is a warning, not an error:
containers and secret stores mount files so.
"""

import base64
import binascii
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath

from pydantic import SecretStr

from mailward.configs import identities
from mailward.configs.access import secret_sections
from mailward.configs.effective import replication_of, ssh_of
from mailward.configs.nodes import Ssh
from mailward.configs.problems import Findings, Path, Problem, dotted
from mailward.configs.schema import Config
from mailward.configs.sections import SecretSection
from mailward.configs.targets import Tsig

MAX_BYTES = 64 * 1024
_PRIVATE_KEY, _HOST_KEYS, _CERTIFICATES = "private key", "host keys", "certificates"


class _Unusable(Exception):
    """Why a file cannot be used, as a sentence."""


def gather(config: Config, environ: Mapping[str, str]) -> Findings:
    """Read every secret into its section, and look at keys and certificates."""
    findings = Findings()
    for path, section in secret_sections(config):
        _gather_one(path, section, environ, findings)
    for file in _files(config):
        _look(file, findings)
    if not any(problem.path[:3] == ("coordination", "zookeeper", "tls") for problem in findings.problems):
        identities.look_at_certificate(config, findings)
    return findings


def _gather_one(path: Path, section: SecretSection, environ: Mapping[str, str], findings: Findings) -> None:
    file_key, env_key = section.secret_keys
    file, variable = getattr(section, file_key), getattr(section, env_key)
    if (file is None) == (variable is None):
        return  # `consistency` has said so where it is wrong
    key = file_key if file is not None else env_key
    try:
        if file is not None:
            text = _text(file, secret=True, where=(*path, key), findings=findings)
        else:
            text = environ.get(variable, "")
            if not text:
                raise _Unusable(f"the environment variable {variable} is not set, or empty")
        section.hold(SecretStr(_secret(section, text, file or variable)))
    except _Unusable as reason:
        findings.problems.append(Problem((*path, key), str(reason)))


def _secret(section: SecretSection, text: str, origin: object) -> str:
    """The secret in what was read: one line, and base64 for TSIG."""
    secret = text.strip("\r\n")
    if not secret.strip():
        raise _Unusable(f"{origin} is empty: write the {section.secret_name} into it")
    if not secret.isprintable():
        raise _Unusable(f"{origin} holds more than one line of text: write the {section.secret_name} alone")
    if isinstance(section, Tsig):
        secret = secret.strip()
        try:
            base64.b64decode(secret, validate=True)
        except (binascii.Error, ValueError):
            raise _Unusable(
                f"{origin} is not base64: write only what tsig-keygen prints in quotes after `secret`"
            ) from None
    return secret


@dataclass(frozen=True)
class _File:
    """A file the configuration names, or that a default names (`said` is False)."""

    place: Path
    path: FilePath
    kind: str
    said: bool = True


def _files(config: Config) -> Iterator[_File]:
    """Other files, each once."""
    if config.tls.ca_file is not None:
        yield _File(("tls", "ca_file"), config.tls.ca_file, _CERTIFICATES)
    zookeeper = config.coordination.zookeeper
    if zookeeper is not None and zookeeper.tls is not None:
        here = ("coordination", "zookeeper", "tls")
        yield _File((*here, "ca_file"), zookeeper.tls.ca_file, _CERTIFICATES)
        yield _File((*here, "cert_file"), zookeeper.tls.cert_file, _CERTIFICATES)
        yield _File((*here, "key_file"), zookeeper.tls.key_file, _PRIVATE_KEY)
    seen = set()
    for path, own, ssh in _accounts(config):
        for key, kind in (("key_file", _PRIVATE_KEY), ("known_hosts_file", _HOST_KEYS)):
            file = getattr(ssh, key)
            if (kind, file) not in seen:
                seen.add((kind, file))
                place = path if key in own else path[-2:]
                yield _File((*place, key), file, kind, key in ssh.model_fields_set)


def _accounts(config: Config) -> Iterator[tuple[Path, Collection[str], Ssh]]:
    """Every SSH account, its keys filled in: its path under its node, and the keys to look for there."""
    shared = config.replication.ssh if config.replication else None
    for name, node in config.nodes.items():
        if not node.addresses:
            continue
        helper, lag = ssh_of(config, name), replication_of(config, name)
        if helper is not None:
            own = node.helper.ssh if node.helper else None
            yield (
                ("nodes", name, "helper", "ssh"),
                _said(own, config.helper.ssh if config.helper else None),
                helper,
            )
        if lag is not None and lag.ssh is not None:
            own = node.replication.ssh if node.replication else None
            yield ("nodes", name, "replication", "ssh"), _said(own, shared), lag.ssh


def _said(own: Ssh | None, shared: Ssh | None) -> Collection[str]:
    """The keys a node says itself: all, where there are no defaults of the file's to take them from."""
    if own is None:
        return ()
    return own.model_fields_set if shared is not None else type(own).model_fields.keys()


def _look(file: _File, findings: Findings) -> None:
    """Whether a file is there and what it should be."""
    try:
        text = _text(file.path, secret=file.kind == _PRIVATE_KEY, where=file.place, findings=findings)
        if not text.strip():
            raise _Unusable(f"{file.path} is empty")
        if file.kind == _PRIVATE_KEY and "PRIVATE KEY-----" not in text:
            raise _Unusable(f"{file.path} is not a private key: name the one without .pub")
        if file.kind == _CERTIFICATES and "-----BEGIN CERTIFICATE-----" not in text:
            raise _Unusable(f"{file.path} holds no PEM certificate")
    except _Unusable as reason:
        hint, about = ("", ()) if file.said else (_hint(file.place), (file.place[:-2],))
        findings.problems.append(Problem(file.place, f"{reason}{hint}", about))


def _hint(place: Path) -> str:
    """What to do where the file is only a default: the helper is there unless the file says no."""
    return " (the default): name another" + (
        ", or write `helper: none` where none runs" if "helper" in place[-3:] else ""
    )


def _text(file: FilePath, *, secret: bool, where: Path, findings: Findings) -> str:
    """A small text file. A named pipe or a device must not keep us waiting."""
    try:
        with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
            status = os.fstat(opened.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise _Unusable(f"{file} is not a file")
            content = opened.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _Unusable(f"{file} does not exist") from None
    except OSError as error:
        raise _Unusable(f"{file} cannot be read: {error.strerror}") from None
    if secret and status.st_mode & stat.S_IROTH:
        findings.warnings.append(
            f"{dotted(where)}: {file} can be read by every user of this host: chmod o-rwx {file}"
        )
    if len(content) > MAX_BYTES:
        raise _Unusable(f"{file} is larger than {MAX_BYTES >> 10} KiB")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise _Unusable(f"{file} is not text in UTF-8") from None
