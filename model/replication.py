"""How far one node's mailboxes are behind another's, per direction."""

from dataclasses import dataclass
from enum import StrEnum


class Confidence(StrEnum):
    """How far a lag figure can be believed. Unknown lag is the worst lag (I5)."""

    KNOWN = "known"
    STALE = "stale"  # it was known; the source has not answered since
    UNKNOWN = "unknown"  # never known, or the source cannot say (just restarted, black-holed peer)


@dataclass(frozen=True, slots=True)
class Lag:
    """What has not reached `target` of what `source` holds.

    `seconds` is the age of the oldest mailbox not in sync, `mailboxes` how many wait; both None when
    unknown. `age_s` is how old the figure is, `measured_by` names its source.
    """

    source: str
    target: str
    confidence: Confidence
    seconds: float | None = None
    mailboxes: int | None = None
    failed_mailboxes: int | None = None
    age_s: float = 0.0
    measured_by: str = ""
    detail: str = ""
