"""What a probe saw, and what a detector made of it."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """Of a (node, service). UNKNOWN is not a weak DOWN: nothing follows from it."""

    UP = "UP"
    DOWN = "DOWN"
    UNKNOWN = "UNKNOWN"


class FailureKind(StrEnum):
    """The class of a failed dialogue; `Failure.stage` says where it happened."""

    REFUSED = "refused"  # connect answered with RST: host alive, nobody listens (or closed by us)
    RESET = "reset"  # RST in the dialogue
    CLOSED = "closed"  # EOF in the dialogue
    TIMEOUT = "timeout"  # no answer within the stage's deadline
    UNREACHABLE = "unreachable"  # no route, or no such address
    PROTOCOL = "protocol"  # an answer that is not the protocol's
    TLS = "tls"  # handshake or certificate
    LOGIN = "login"  # the canary's login was refused
    TEMPFAIL = "tempfail"  # the server says: not now (4xx, [UNAVAILABLE], [SERVERBUG])
    REJECTED = "rejected"  # a final no to another command (5xx, NO)
    LOCAL = "local"  # the prober's own fault (its file, its socket): says nothing of the node


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a dialogue did not reach its end. `detail` is short, printable and free of secrets."""

    kind: FailureKind
    stage: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind} at {self.stage}" + (f": {self.detail}" if self.detail else "")


@dataclass(frozen=True, slots=True)
class StageTime:
    """One finished stage of a dialogue and how long it took."""

    stage: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Certificate:
    """The certificate a server showed."""

    names: tuple[str, ...]
    days_left: float
    issuer: str = ""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One dialogue, start to end. `answered_by` is the name the server gave itself in its banner."""

    failure: Failure | None
    stages: tuple[StageTime, ...] = ()
    answered_by: str | None = None
    certificate: Certificate | None = None

    @property
    def ok(self) -> bool:
        return self.failure is None

    @property
    def seconds(self) -> float:
        return sum(stage.seconds for stage in self.stages)


class Vantage(StrEnum):
    """Which way a probe went: from outside as clients do, or behind closed client ports."""

    DIRECT = "direct"
    HELPER = "helper"


@dataclass(frozen=True, slots=True)
class ServiceReport:
    """An observer's verdict on one service of one node, with its evidence.

    Ages are seconds before the report was written: hosts' clocks are never compared.
    `symptom_age_s` is the age of the first sign of the present trouble, None while there is none;
    `verdict_age_s` the age of the verdict; `probe_age_s` the age of the last finished probe.
    """

    service: str
    verdict: Verdict
    vantage: Vantage
    verdict_age_s: float
    probe_age_s: float
    symptom_age_s: float | None = None
    last: ProbeResult | None = None
    evidence: str = ""
