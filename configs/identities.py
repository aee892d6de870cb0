"""Who the daemons are to ZooKeeper and to each other, and whether this host's certificate says the same."""

import contextlib
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from cryptography import x509

from mailward.configs.daemon import ObserverEntry, ZooKeeper
from mailward.configs.problems import Findings, Path, Problem, dotted
from mailward.configs.schema import Config
from mailward.configs.values import shown

HERE: Path = ("coordination", "zookeeper")
RENEWED_BEFORE = timedelta(days=14)


def identity_of(observer: ObserverEntry, zookeeper: ZooKeeper) -> str:
    """As ZooKeeper's ACLs have it."""
    return observer.identity or (observer.name if zookeeper.login is not None else f"CN={observer.name}")


def consistent(config: Config) -> Iterator[Problem]:
    """What the file says of them."""
    zookeeper = config.coordination.zookeeper
    if zookeeper is None or (zookeeper.tls is None and zookeeper.login is None):
        yield from _nobody_is_known(config)
        return
    if zookeeper.login is None:
        yield from _subjects(config, zookeeper)
    owners: dict[str, str] = {}
    for position, observer in enumerate(config.observers):
        identity = identity_of(observer, zookeeper)
        if identity in owners and owners[identity] != observer.name:
            sentence = f"{shown(identity)} is already {owners[identity]}: each has one of its own"
            yield Problem(("observers", position, "identity"), sentence)
        owners.setdefault(identity, observer.name)
    for position, admin in enumerate(zookeeper.admins):
        if admin in owners or admin in zookeeper.admins[:position]:
            who = f"the observer {owners[admin]}" if admin in owners else "here twice"
            yield Problem((*HERE, "admins", position), f"{shown(admin)} is {who}: leave it out")
    if zookeeper.login is not None:
        user = zookeeper.login.user
        yield from _one_of_them(config, user, shown(user), (*HERE, "login", "user"))


def _subjects(config: Config, zookeeper: ZooKeeper) -> Iterator[Problem]:
    """ZooKeeper takes a subject for one only as RFC 4514 writes it."""
    said: list[tuple[Path, str | None]] = [
        (("observers", position, "identity"), observer.identity)
        for position, observer in enumerate(config.observers)
    ]
    said += [((*HERE, "admins", position), admin) for position, admin in enumerate(zookeeper.admins)]
    for where, subject in said:
        if subject is None:
            continue
        try:
            name = x509.Name.from_rfc4514_string(subject)
            right = name.rfc4514_string() == subject
        except ValueError:
            right = False
        if not right:
            yield Problem(where, f"{shown(subject)} is no subject: write it as in CN=anna,O=Example")
        elif not _plain(name):
            yield Problem(where, _OTHERWISE.format(shown(subject)))


_OTHERWISE = (
    "{} is written otherwise by ZooKeeper: a certificate's subject has C, CN, DC, L, O, OU, ST, STREET or UID"
    " only, without = or # in them"
)
_KEYWORDS = {"C", "CN", "DC", "L", "O", "OU", "ST", "STREET", "UID"}


def _plain(name: x509.Name) -> bool:
    """Whether Java writes it as we do: what has no keyword in RFC 2253 it writes as numbers, and it escapes
    more."""
    return all(
        each.rfc4514_attribute_name in _KEYWORDS and not {"=", "#"} & set(str(each.value)) for each in name
    )


def _nobody_is_known(config: Config) -> Iterator[Problem]:
    """Where no server is told who a client is."""
    why = "ZooKeeper knows nobody without tls or login: leave the line out"
    zookeeper = config.coordination.zookeeper
    for position, observer in enumerate(config.observers):
        if observer.identity is not None:
            yield Problem(("observers", position, "identity"), why, (("coordination",),))
    if zookeeper is not None and zookeeper.admins:
        yield Problem((*HERE, "admins"), why, ((*HERE, "tls"), (*HERE, "login")))


def _one_of_them(config: Config, identity: str, told: str, where: Path) -> Iterator[Problem]:
    """It must be this host's observer, or an admin."""
    zookeeper = config.coordination.zookeeper
    assert zookeeper is not None
    known = {observer.name: identity_of(observer, zookeeper) for observer in config.observers}
    if config.observer is not None and config.observer in known:
        known = {config.observer: known[config.observer]}
    if identity not in (*known.values(), *zookeeper.admins):
        names = " or ".join(f"{name} as {shown(identity)}" for name, identity in known.items())
        sentence = f"{told} is no admin, and ZooKeeper knows {names}: write its `identity` if it has changed"
        yield Problem(where, sentence, (("observers",), ("observer",)))


def look_at_certificate(config: Config, findings: Findings) -> None:
    """Whether this host's certificate and key, which can be read, are those of who it is to be."""
    zookeeper = config.coordination.zookeeper
    tls = zookeeper.tls if zookeeper is not None else None
    if zookeeper is None or tls is None:
        return
    here = (*HERE, "tls")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(tls.cert_file, tls.key_file, password="")
        found = x509.load_pem_x509_certificate(tls.cert_file.read_bytes())
    except (OSError, ValueError) as error:
        if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
            problem = Problem((*here, "key_file"), f"{tls.key_file} is not the key of {tls.cert_file}")
        else:
            sentence = f"{tls.cert_file} and {tls.key_file} cannot be read as a certificate and its key"
            problem = Problem((*here, "cert_file"), f"{sentence}, which has no passphrase: {_why(error)}")
        findings.problems.append(problem)
        return
    if found.not_valid_before_utc > datetime.now(UTC):
        begins = f"{found.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        findings.warnings.append(
            f"{dotted((*here, 'cert_file'))}: {tls.cert_file} is not valid before {begins}"
        )
    left = found.not_valid_after_utc - datetime.now(UTC)
    if left < RENEWED_BEFORE:
        told = "has expired" if left < timedelta() else "expires"
        when = f"{told} on {found.not_valid_after_utc:%Y-%m-%d}: then nobody believes it"
        findings.warnings.append(f"{dotted((*here, 'cert_file'))}: {tls.cert_file} {when}")
    _look_at_names(config, found, (*here, "cert_file"), findings)
    subject = found.subject.rfc4514_string()
    if zookeeper.login is None and not _plain(found.subject):
        sentence = f"{tls.cert_file}: {_OTHERWISE.format(shown(subject))}"
        findings.problems.append(Problem((*here, "cert_file"), sentence))
    elif zookeeper.login is None:
        told = f"{tls.cert_file} is {shown(subject)}, which"
        findings.problems += _one_of_them(config, subject, told, (*here, "cert_file"))


def _look_at_names(config: Config, found: x509.Certificate, where: Path, findings: Findings) -> None:
    """The other daemons know an observer by its name alone: as the common name, or a DNS name."""
    ours = config.observer
    if ours is None or not any(observer.address is not None for observer in config.observers):
        return
    names = {str(each.value) for each in found.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)}
    with contextlib.suppress(x509.ExtensionNotFound):
        alternative = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names |= set(alternative.get_values_for_type(x509.DNSName))
    zookeeper = config.coordination.zookeeper
    assert zookeeper is not None
    if ours not in names and found.subject.rfc4514_string() not in zookeeper.admins:
        told = f"it is made out to {', '.join(sorted(names)) or 'nobody'}"
        sentence = f"{told}, and the other daemons know this one as {ours}: add that as a DNS name"
        findings.problems.append(Problem(where, sentence, (("observers",), ("observer",))))


def _why(error: Exception) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)
