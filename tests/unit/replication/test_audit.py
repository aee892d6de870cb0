"""What an audit finds between two nodes' copies of a mailbox, and when it believes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from mailward.replication.audit.auditor import MOST_KEPT, READINGS, AuditError, Auditor, Report
from mailward.replication.audit.compare import Finding, Kind
from mailward.replication.audit.contents import FOLDERS, MOST_FOLDERS, Message, Reading, questions
from mailward.replication.sources.doveadm import (
    USERS,
    DoveadmError,
    Malformed,
    Problem,
    Question,
    Row,
    Take,
)

A, B = "mail-a", "mail-b"
USER, OTHER = "anna@example.test", "bert@example.test"
SEEN = Message("g1", 1, ("\\seen",))
PLAIN = Message("g2", 2, ())
REFUSED = DoveadmError(Problem.REFUSED, "nobody listens")


@dataclass(frozen=True)
class Held:
    """A folder on a node; `virtual` messages were found in another one, and lie here."""

    messages: tuple[Message, ...] = (SEEN, PLAIN)
    guid: str = "f1"
    uid_validity: int = 17
    virtual: tuple[Message, ...] = ()


@dataclass
class Node:
    """A node's doveadm, with mailboxes that are folders by name; `troubles` are what it says, one after the
    other, before it answers for one mailbox, or for USERS."""

    mailboxes: dict[str, dict[str, Held]]
    troubles: dict[str, list[DoveadmError]] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()
    name: str = "a model of Dovecot"
    asked: list[str] = field(default_factory=list)

    async def ask(self, asked: Sequence[Question], take: Take, deadline_s: float) -> None:
        if sum("user" in question.parameters for question in asked) > 1:
            raise DoveadmError(Problem.COMMAND, "a second mailbox in one request: exit status 75")
        for question in asked:
            user = str(question.parameters.get("user", question.name))
            self.asked.append(user)
            if self.troubles.get(user):
                raise self.troubles[user].pop(0)
            for row in self._rows(question, user):
                take(question, row)
        await asyncio.sleep(0)

    def _rows(self, question: Question, user: str) -> list[Row]:
        if question is USERS:
            return [
                {"username": name, "priority": "high" if name in self.waiting else "none",
                 "success sync": "-", "failed": "-"}
                for name in self.mailboxes if name not in self.unlisted
            ]  # fmt: skip
        folders = self.mailboxes[user]
        if question.name == FOLDERS:
            return [
                {"mailbox": name, "guid": held.guid, "uidvalidity": str(held.uid_validity)}
                for name, held in folders.items()
            ]
        return [
            {"mailbox": name, "mailbox-guid": found_in, "guid": each.guid, "uid": str(each.uid),
             "flags": " ".join(each.flags)}
            for name, held in folders.items()
            for found_in, messages in ((held.guid, held.messages), ("v1", held.virtual))
            for each in messages
        ]  # fmt: skip


def both(one: dict[str, Held], other: dict[str, Held]) -> tuple[Node, Node]:
    return Node({USER: one}), Node({USER: other})


async def audit(
    one: Node, other: Node, pause: Callable[[float], None] = lambda seconds: None, *names: str
) -> Report:
    async def paused(seconds: float) -> None:
        pause(seconds)

    auditor = Auditor({A: one, B: other}, pause=paused)
    return await auditor.audit(names or await auditor.mailboxes())


async def found(one: dict[str, Held], other: dict[str, Held]) -> list[Finding]:
    report = await audit(*both(one, other))
    (audited,) = report.audited
    assert audited.differs is any(each.is_difference for each in audited.findings) is not report.agrees
    return list(audited.findings)


async def test_the_same_mail_is_agreed_on_in_one_reading() -> None:
    one, other = both({"INBOX": Held(), "Sent": Held(())}, {"Sent": Held(()), "INBOX": Held()})
    report = await audit(one, other)
    assert report.agrees
    assert [each.messages for each in report.audited] == [(2, 2)]
    assert one.asked == other.asked == [USERS.name, USER, USER]


async def test_recent_is_each_nodes_own_and_flags_have_neither_order_nor_case() -> None:
    here = Held((Message("g", 1, ("\\Recent", "\\Seen", "$Junk")),))
    there = Held((Message("g", 1, ("$junk", "\\Seen")),))
    assert await found({"INBOX": here}, {"INBOX": there}) == []


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        (Held(), Held((SEEN,)), Finding("INBOX", Kind.MISSING, B, "g2")),
        (Held((SEEN,)), Held(), Finding("INBOX", Kind.MISSING, A, "g2")),
        (Held(), Held((SEEN, replace(PLAIN, uid=3))), Finding("INBOX", Kind.RENUMBERED, "", "g2")),
        (Held(), Held((replace(SEEN, flags=()), PLAIN)), Finding("INBOX", Kind.FLAGS, "", "g1")),
        (Held(), Held(guid="f2"), Finding("INBOX", Kind.FOLDER_GUID)),
        (Held(), Held(uid_validity=18), Finding("INBOX", Kind.UID_VALIDITY)),
        (Held(), Held((SEEN, PLAIN, replace(SEEN, uid=5))), Finding("INBOX", Kind.DUPLICATED, B, "g1")),
    ],
)
async def test_each_difference_is_named_once(here: Held, there: Held, expected: Finding) -> None:
    assert await found({"INBOX": here}, {"INBOX": there}) == [expected]


async def test_a_message_twice_on_both_nodes_is_told_and_is_no_difference() -> None:
    twice = Held((SEEN, replace(SEEN, uid=5)))
    (finding,) = await found({"INBOX": twice}, {"INBOX": twice})
    assert (finding, finding.detail) == (Finding("INBOX", Kind.DUPLICATED, "", "g1"), "UID 1, 5")
    assert (await audit(*both({"INBOX": twice}, {"INBOX": twice}))).agrees


async def test_flags_are_those_of_each_copy() -> None:
    here = Held((replace(SEEN, uid=1), replace(SEEN, uid=5, flags=())))
    there = Held((replace(SEEN, uid=1, flags=()), replace(SEEN, uid=5)))
    findings = await found({"INBOX": here}, {"INBOX": there})
    assert Finding("INBOX", Kind.FLAGS, "", "g1") in findings


async def test_what_the_counters_hide_is_found() -> None:
    """As many messages, the same next UID: another message under the same UID."""
    here, there = Held((Message("left", 1, ()),)), Held((Message("right", 1, ()),))
    assert await found({"INBOX": here}, {"INBOX": there}) == [
        Finding("INBOX", Kind.MISSING, B, "left"),
        Finding("INBOX", Kind.MISSING, A, "right"),
    ]


async def test_a_folder_on_one_node_is_told_with_what_is_in_it() -> None:
    findings = await found({"INBOX": Held(), "Plans": Held(guid="f3")}, {"INBOX": Held()})
    assert findings == [
        Finding("Plans", Kind.NO_FOLDER, B),
        Finding("Plans", Kind.MISSING, B, "g1"),
        Finding("Plans", Kind.MISSING, B, "g2"),
    ]
    assert findings[0].detail == "2 messages at mail-a"


async def test_a_folder_that_comes_without_its_mail_stays_a_difference() -> None:
    one, other = both({"INBOX": Held(), "Plans": Held(guid="f3")}, {"INBOX": Held()})

    def made(_seconds: float) -> None:
        other.mailboxes[USER] = {"INBOX": Held(), "Plans": Held((), guid="f3")}

    (audited,) = (await audit(one, other, made)).audited
    assert [finding.what for finding in audited.findings] == ["g1", "g2"]


async def test_a_virtual_folder_shows_what_lies_elsewhere_and_counts_for_nothing() -> None:
    here, there = Held(virtual=(replace(SEEN, uid=7),)), Held(virtual=(replace(SEEN, uid=9),))
    assert await found({"INBOX": here}, {"INBOX": there}) == []


async def test_a_mailbox_that_one_replicator_does_not_list_is_read_all_the_same() -> None:
    mailboxes = {USER: {"INBOX": Held()}, OTHER: {"INBOX": Held()}}
    report = await audit(Node(mailboxes), Node(mailboxes, unlisted=(OTHER,)))
    assert (report.agrees, report.asked) == (True, 2)


async def test_mailboxes_that_are_named_need_no_list() -> None:
    one, other = both({"INBOX": Held()}, {"INBOX": Held()})
    one.troubles[USERS.name] = [REFUSED]
    assert (await audit(one, other, lambda seconds: None, USER)).agrees


async def test_mail_on_its_way_is_no_difference() -> None:
    one, other = both({"INBOX": Held()}, {"INBOX": Held((SEEN,))})
    report = await audit(one, other, lambda seconds: other.mailboxes.update({USER: {"INBOX": Held()}}))
    assert report.agrees


async def test_what_comes_while_the_first_has_arrived_is_no_difference() -> None:
    """A busy mailbox never agrees at any one moment: each time something else is on its way."""
    one, other = both({"INBOX": Held()}, {"INBOX": Held((SEEN,))})
    later = Message("g3", 3, ())

    def arrives(_seconds: float) -> None:
        other.mailboxes[USER] = {"INBOX": Held()}
        one.mailboxes[USER] = {"INBOX": Held((SEEN, PLAIN, later))}

    assert (await audit(one, other, arrives)).agrees


async def test_what_stays_apart_is_found_though_other_mail_comes_and_goes() -> None:
    one, other = both({"INBOX": Held()}, {"INBOX": Held((SEEN,))})
    number = 2

    def arrives(_seconds: float) -> None:
        nonlocal number
        number += 1
        new = Message(f"g{number}", number, ())
        one.mailboxes[USER] = {"INBOX": Held((SEEN, PLAIN, new))}

    (audited,) = (await audit(one, other, arrives)).audited
    assert audited.findings == (Finding("INBOX", Kind.MISSING, B, "g2"),)


async def test_of_very_many_findings_all_are_counted_and_some_are_kept() -> None:
    many = tuple(Message(f"g{number}", number, ()) for number in range(1, 3 * MOST_KEPT))
    (audited,) = (await audit(*both({"INBOX": Held(many)}, {"INBOX": Held(())}))).audited
    assert (len(audited.findings), audited.counts) == (MOST_KEPT, {"missing": len(many)})


async def test_it_is_told_where_the_replication_of_what_differs_waits() -> None:
    one, other = both({"INBOX": Held()}, {"INBOX": Held((SEEN,))})
    one.waiting = (USER,)
    (audited,) = (await audit(one, other)).audited
    assert audited.waits_at == (A,)


def failing(times: int) -> list[DoveadmError]:
    return [DoveadmError(Problem.COMMAND, "fetch: exit status 75")] * times


async def test_what_could_not_be_read_once_is_read_again() -> None:
    one, other = both({"INBOX": Held()}, {"INBOX": Held((SEEN,))})
    other.troubles[USER] = failing(1)
    (audited,) = (await audit(one, other)).audited
    assert (audited.unread, audited.findings) == ("", (Finding("INBOX", Kind.MISSING, B, "g2"),))


async def test_what_could_not_be_read_at_last_was_read_often_enough() -> None:
    one, other = both({"INBOX": Held()}, {"INBOX": Held((SEEN,))})
    pauses: list[float] = []

    def fails_at_last(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == READINGS - 1:
            other.troubles[USER] = failing(1)

    (audited,) = (await audit(one, other, fails_at_last)).audited
    assert (audited.unread, audited.differs) == ("", True)


async def test_one_reading_is_not_enough_to_say_that_mail_differs() -> None:
    one, other = both({"INBOX": Held()}, {"INBOX": Held((SEEN,))})
    other.troubles[USER] = failing(READINGS - 1)
    (audited,) = (await audit(one, other)).audited
    assert (audited.unread, audited.differs) == ("it could be read only once", False)


async def test_a_mailbox_that_cannot_be_read_is_told_of_and_the_others_are_audited() -> None:
    mailboxes = {USER: {"INBOX": Held()}, OTHER: {"INBOX": Held()}}
    report = await audit(Node(mailboxes), Node(mailboxes, {USER: failing(READINGS)}))
    assert [each.unread for each in report.audited] == ["mail-b: command: fetch: exit status 75", ""]
    assert (report.agrees, report.stopped) == (False, "")


async def test_a_node_that_answers_no_more_ends_the_audit() -> None:
    mailboxes = {f"u{number:03}": {"INBOX": Held()} for number in range(200)}
    gone = {name: [REFUSED] * READINGS for name in mailboxes if name > "u019"}
    report = await audit(Node(mailboxes), Node(mailboxes, gone))
    assert report.stopped == "mail-b did not answer 3 times in a row: refused: nobody listens"
    assert (report.asked, report.agrees) == (200, False)
    assert 20 <= len(report.audited) < 100


async def test_a_node_that_fails_now_and_then_does_not_end_it() -> None:
    mailboxes = {f"u{number:03}": {"INBOX": Held()} for number in range(40)}
    lapses = Node(mailboxes, {name: [REFUSED] for name in list(mailboxes)[::4]})
    assert (await audit(Node(mailboxes), lapses)).agrees


async def test_mailboxes_that_are_broken_do_not_end_it() -> None:
    mailboxes = {f"u{number:03}": {"INBOX": Held()} for number in range(40)}
    broken = {name: failing(READINGS) for name in mailboxes}
    report = await audit(Node(mailboxes), Node(mailboxes, broken))
    assert (len(report.audited), len(report.unread), report.stopped) == (40, 40, "")


async def test_interrupted_it_tells_what_it_has() -> None:
    one = Node({USER: {"INBOX": Held()}, OTHER: {"INBOX": Held()}})
    other = Node({USER: {"INBOX": Held()}, OTHER: {"INBOX": Held(())}})

    async def forever(_seconds: float) -> None:
        await asyncio.Event().wait()

    auditor = Auditor({A: one, B: other}, pause=forever)
    running = asyncio.create_task(auditor.audit([USER, OTHER]))
    await asyncio.sleep(0.05)
    running.cancel()
    report = await running
    assert (report.interrupted, report.stopped) == (True, "interrupted")
    assert [each.mailbox for each in report.audited] == [USER]


@pytest.mark.parametrize(
    ("silent", "said"),
    [
        (Node({}, {USERS.name: [REFUSED]}), "mail-b does not list its mailboxes: refused: nobody listens"),
        (Node({}), "the replicator of mail-b lists no mailbox: has it just started?"),
    ],
)
async def test_without_a_list_of_mailboxes_nothing_begins(silent: Node, said: str) -> None:
    with pytest.raises(AuditError, match=said):
        await audit(Node({USER: {}}), silent)


def row(**values: str) -> Row:
    return {"mailbox": "INBOX", "mailbox-guid": "f", "guid": "g", "uid": "1", "flags": "", **values}


def test_text_that_is_no_unicode_is_taken_as_it_is() -> None:
    _, messages = questions(USER)
    reading = Reading()
    reading.take(messages, row(flags="\ud800"))
    assert reading.contents()["INBOX"].count == 1


@pytest.mark.parametrize("uid", ["", "-1", "1.5", "²", "99999999999"])
def test_a_uid_that_is_none_is_refused(uid: str) -> None:
    _, messages = questions(USER)
    with pytest.raises(Malformed, match="uid is no number"):
        Reading().take(messages, row(uid=uid))


def test_a_row_that_lacks_something_is_refused() -> None:
    folders, _ = questions(USER)
    with pytest.raises(Malformed, match="a row without 'uidvalidity'"):
        Reading().take(folders, {"mailbox": "INBOX", "guid": "g"})


def test_a_node_cannot_fill_our_memory_with_folders() -> None:
    reading, (folders, _) = Reading(), questions(USER)
    for number in range(MOST_FOLDERS):
        reading.take(folders, row(mailbox=str(number), uidvalidity="1"))
    with pytest.raises(Malformed, match="more than 20000 folders"):
        reading.take(folders, row(mailbox="one more", uidvalidity="1"))


def test_a_mailboxes_name_is_a_value_of_its_own() -> None:
    name = "x' ALL; doveadm expunge *"
    for question in questions(name):
        assert question.parameters["user"] == name
        assert name in question.words
