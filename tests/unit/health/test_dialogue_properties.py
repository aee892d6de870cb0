"""Whatever a server sends, however it is cut: no exception, an end, the same end, bounded memory."""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.health.talk import Talk

from mailward.health.dialogues import (
    Account,
    Dialogue,
    ImapDialogue,
    ImapHold,
    ImapSettings,
    Security,
    SmtpDialogue,
    SmtpHold,
    SmtpSettings,
)
from mailward.health.dialogues.lines import MAX_LINE, MAX_TOTAL
from mailward.model.health import FailureKind

CANARY = Account("canary", "s3cret-Pass")

MAKERS: list[Callable[[], Dialogue]] = [
    *(
        lambda s=security, a=account: SmtpDialogue(SmtpSettings(s, a, "x@example.test"))
        for security in Security
        for account in (None, CANARY)
    ),
    *(
        lambda s=security, a=account: ImapDialogue(ImapSettings(s, a))
        for security in Security
        for account in (None, CANARY, Account("ü", "s3cret-Paß"))
    ),
    lambda: SmtpHold(SmtpSettings()),
    lambda: ImapHold(ImapSettings()),
]

LINES = [
    *b"220 mail-a.test ESMTP|220-x|250 ok|250-STARTTLS|250-AUTH PLAIN|250 AUTH LOGIN|235 in".split(b"|"),
    *b"334 |454 later|535 no s3cret-Pass|221 bye|421 busy|* OK mail-a.test ready|* BYE|* 1 EXISTS".split(
        b"|"
    ),
    *b"* CAPABILITY STARTTLS|* CAPABILITY LOGINDISABLED|m1 OK|m2 OK|m3 OK|m4 OK|m5 OK|m6 OK".split(b"|"),
    *b"m1 NO [UNAVAILABLE|m2 NO s3cret-pass|m3 BAD|+ go|m4|*|+|".split(b"|"),
]

plausible = st.lists(st.sampled_from(LINES), max_size=24).map(lambda lines: b"\r\n".join(lines) + b"\r\n")
long = st.integers(1, 3).flatmap(
    lambda n: st.sampled_from(
        [b"2" * MAX_LINE * n, b"220-" + b"x" * 8000 + b"\n", b"220-x\n" * (MAX_TOTAL // 25)]
    )
)
speech = st.lists(st.one_of(st.binary(max_size=60), plausible, long), max_size=4).map(b"".join)
cuts = st.lists(st.integers(1, 5000), max_size=40)


def outcome(dialogue: Dialogue, chunks: list[bytes]) -> tuple[object, ...]:
    """Everything a run leaves: end, words said, stages; TLS is never granted."""
    talk = Talk(dialogue)
    for chunk in chunks:
        talk.take(dialogue.receive(chunk))
        assert len(dialogue._lines._pending) <= max(MAX_LINE, len(chunk))
    if not talk.ended:
        talk.lost(FailureKind.CLOSED)
    assert talk.ended
    if talk.failure is not None:
        assert talk.failure.detail.isprintable()
        for secret in dialogue._secrets:
            assert secret.decode() not in talk.failure.detail.lower()
        assert len(talk.failure.detail) < 250
    return (talk.failure, talk.sent, talk.stages, dialogue.answered_by)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    chunks = []
    for size in sizes:
        chunks.append(data[:size])
        data = data[size:]
    return [chunk for chunk in [*chunks, data] if chunk]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(MAKERS[:-2]), speech, cuts)
def test_any_bytes_in_any_packets_come_to_the_same_end(
    make: Callable[[], Dialogue], data: bytes, sizes: list[int]
) -> None:
    assert outcome(make(), [data] if data else []) == outcome(make(), cut(data, sizes))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(MAKERS[:-2]), st.one_of(st.binary(max_size=80), plausible))
def test_a_byte_at_a_time_comes_to_the_same_end(make: Callable[[], Dialogue], data: bytes) -> None:
    assert outcome(make(), [data] if data else []) == outcome(make(), cut(data, [1] * len(data)))


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(MAKERS),
    st.lists(st.one_of(speech, st.sampled_from(["secured", "proceed", "lost", "reset"])), max_size=12),
)
def test_calls_in_any_order_never_raise(make: Callable[[], Dialogue], calls: list[bytes | str]) -> None:
    dialogue = make()
    talk = Talk(dialogue)
    for call in calls:
        if isinstance(call, bytes):
            talk.take(dialogue.receive(call))
        elif call == "secured":
            talk.take(dialogue.secured())
        elif call == "proceed":
            talk.take(dialogue.proceed())
        else:
            talk.take(dialogue.lost(FailureKind.RESET if call == "reset" else FailureKind.CLOSED))
