"""Driving a dialogue by hand: what it says, and how it ends."""

from collections.abc import Iterable

from mailward.health.dialogues import Dialogue, Done, Enter, Event, Failed, Send, StartTls
from mailward.model.health import Failure, FailureKind


class Talk:
    """Feeds a dialogue and keeps what came of it."""

    def __init__(self, dialogue: Dialogue) -> None:
        self.dialogue = dialogue
        self.sent = b""
        self.stages: list[str] = []
        self.ended = False
        self.failure: Failure | None = None
        self.wants_tls = False
        self.take(dialogue.start())

    def take(self, events: Iterable[Event]) -> None:
        for event in events:
            assert not self.ended, f"{event} after the end"
            if isinstance(event, Enter):
                self.stages.append(event.stage)
            elif isinstance(event, Send):
                self.sent += event.data
            elif isinstance(event, StartTls):
                self.wants_tls = True
            elif isinstance(event, Done):
                self.ended = True
            elif isinstance(event, Failed):
                self.ended, self.failure = True, event.failure

    def hear(self, *lines: bytes) -> "Talk":
        for line in lines:
            self.take(self.dialogue.receive(line + b"\r\n"))
        return self

    def secured(self) -> "Talk":
        assert self.wants_tls
        self.wants_tls = False
        self.take(self.dialogue.secured())
        return self

    def lost(self, kind: FailureKind = FailureKind.CLOSED) -> "Talk":
        self.take(self.dialogue.lost(kind))
        return self

    @property
    def last_sent(self) -> bytes:
        return self.sent.splitlines()[-1] if self.sent else b""

    @property
    def verdict(self) -> tuple[str, str] | None:
        """(kind, stage) of the failure, None after a good end."""
        assert self.ended
        return (self.failure.kind.value, self.failure.stage) if self.failure else None
