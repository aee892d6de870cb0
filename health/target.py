"""What is to be watched, and how often: the observer's settings, made by the composition root."""

from dataclasses import dataclass

from mailward.health.detector import Thresholds
from mailward.health.dialogues import ImapSettings, SmtpSettings
from mailward.health.probe import Limits
from mailward.health.streams import Connector
from mailward.health.tls import TlsClient
from mailward.model.health import Vantage

DIRECT_LIMITS = Limits()
BEHIND_LIMITS = Limits(connect_s=4.0, answer_s=3.0, work_s=4.0, total_s=12.0)
"""An SSH session and a program start come before the service's own answer."""
THRESHOLDS = Thresholds()


@dataclass(frozen=True, slots=True)
class Pace:
    """How often and how patiently one service is asked. Every number is seconds but for counts.

    A probe of a service in doubt is followed by another after `confirm_s` even if it has not come
    back, so a hang costs one deadline and not two: with these defaults at worst
    `noop_s` 1.0 + `noop_answer_s` 0.8 + `confirm_s` 0.3 + a banner's 1.2 = 3.3 s.
    """

    probe_s: float = 2.0
    behind_probe_s: float = 5.0
    jitter: float = 0.1
    confirm_s: float = 0.3
    limits: Limits = DIRECT_LIMITS
    behind_limits: Limits = BEHIND_LIMITS
    thresholds: Thresholds = THRESHOLDS
    noop_s: float = 1.0
    noop_answer_s: float = 0.8
    noops_per_connection: int = 80
    connection_s: float = 150.0
    reconnect_s: float = 0.5
    reconnect_max_s: float = 30.0


PACE = Pace()


@dataclass(frozen=True, slots=True)
class Target:
    """One service of one node, and how to ask whether it serves.

    `direct` goes the way clients go, `behind` through the helper when our own rules close that way
    (None: nobody can look, so the verdict is UNKNOWN). `held` keeps a sentinel connection.
    """

    node: str
    service: str
    settings: SmtpSettings | ImapSettings
    direct: Connector
    tls: TlsClient | None = None
    behind: Connector | None = None
    held: bool = True
    pace: Pace = PACE

    def connector(self, vantage: Vantage) -> Connector | None:
        return self.direct if vantage is Vantage.DIRECT else self.behind


@dataclass(frozen=True, slots=True)
class Rhythm:
    """The observer's own: how often it reports and asks for facts and lag, how long it waits for
    them, and when it stops trusting its sense of time (`stall_s`) and for how long (`tilt_s`).
    `lag_answer_s` is longer than a source's own deadlines: cut short, it would learn nothing. `lag_hurried_s`
    is between two figures that somebody waits for."""

    probes_at_once: int = 32
    heartbeat_s: float = 2.0
    publish_s: float = 5.0
    facts_s: float = 4.0
    facts_answer_s: float = 4.0
    lag_s: float = 5.0
    lag_hurried_s: float = 1.0
    lag_answer_s: float = 30.0
    stall_s: float = 0.5
    tilt_s: float = 5.0
