"""SMTP and IMAP as state machines without I/O: what a probe says and how it judges the answers."""

from mailward.health.dialogues.account import Account
from mailward.health.dialogues.dialogue import (
    Dialogue,
    Done,
    Enter,
    Event,
    Failed,
    Idle,
    Security,
    Send,
    StartTls,
)
from mailward.health.dialogues.imap import ImapDialogue, ImapHold, ImapSettings
from mailward.health.dialogues.smtp import SmtpDialogue, SmtpHold, SmtpSettings

__all__ = [
    "Account",
    "Dialogue",
    "Done",
    "Enter",
    "Event",
    "Failed",
    "Idle",
    "ImapDialogue",
    "ImapHold",
    "ImapSettings",
    "Security",
    "Send",
    "SmtpDialogue",
    "SmtpHold",
    "SmtpSettings",
    "StartTls",
]
