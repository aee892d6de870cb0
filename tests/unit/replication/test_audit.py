"""What an audit finds between two nodes' copies of a mailbox, and when it believes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from mailward.replication.audit.auditor import UNREAD_IN_A_ROW, AuditError, Auditor, Report
from mailward.replication.audit.compare import Finding, Kind
from mailward.replication.audit.contents import FOLDERS, MOST_FOLDERS, Message, Reading, questions
from mailward.replication.sources.doveadm import USERS, DoveadmError, Malformed, Problem, Question, Row, Take

A, B = "mail-a", "mail-b"
USER = "anna@example.test"
SEEN = Message("g1", 1, ("\\Seen",))
PLAIN = Message("g2", 2, ())


@dataclass(frozen=True)
class Held:
    """A folder on a node."""

    messages: tuple[Message, ...] = (SEEN, PLAIN)
    guid: str = "f1"
    uid_validity: int = 17


@dataclass
class Node:
    """A node's doveadm, with mailboxes that are folders by name; `troubles` is what it says instead of an
    answer for one mailbox, or for USERS."""

    mailboxes: dict[str, dict[str, Held]]
    troubles: dict[str, DoveadmError] = field(default_factory=dict)
    name: str = "a model of Dovecot"
    asked: int = 0

    async def ask(self, asked: Sequence[Question], take: Take, deadline_s: float) -> None:
        if sum("user" in question.parameters for question in asked) > 1:
            raise DoveadmError(Problem.COMMAND, "a second mailbox in one request: exit status 75")
        for question in asked:
            user = str(question.parameters.get("user", question.name))
            if user in self.troubles:
                raise self.troubles[user]
            for row in self._rows(question, user):
                take(question, row)
        self.asked += 1

    def _rows(self, question: Question, user: str) -> list[Row]:
        if question is USERS:
            fresh = {"priority": "none", "success sync": "-", "failed": "-"}
            return [{"username": name, **fresh} for name in self.mailboxes]
        folders = self.mailboxes[user]
        if question.name == FOLDERS:
            return [
                {"mailbox": name, "guid": held.guid, "uidvalidity": str(held.uid_validity)}
                for name, held in folders.items()
            ]
        return [
            {"mailbox": name, "guid": each.guid, "uid": str(each.uid), "flags": " ".join(each.flags)}
            for name, held in folders.items()
            for each in held.messages
        ]


def both(one: dict[str, Held], other: dict[str, Held]) -> tuple[Node, Node]:
    return Node({USER: one}), Node({USER: other})


async def audit(one: Node, other: Node, pause: Callable[[float], None] = lambda seconds: None) -> Report:
    async def paused(seconds: float) -> None:
        pause(seconds)

    auditor = Auditor({A: one, B: other}, pause=paused)
    return await auditor.audit(await auditor.mailboxes())


async def found(one: dict[str, Held], other: dict[str, Held]) -> list[Finding]:
    (audited,) = (await audit(*both(one, other))).audited
    return list(audited.findings)


async def test_the_same_mail_is_agreed_on_in_one_reading() -> None:
    one, other = both({"INBOX": Held(), "Sent": Held(())}, {"Sent": Held(()), "INBOX": Held()})
    report = await audit(one, other)
    assert report.agrees
    assert [each.messages for each in report.audited] == [(2, 2)]
    assert (one.asked, other.asked) == (3, 3)


async def test_recent_is_each_nodes_own_and_flags_have_no_order() -> None:
    here = Held((Message("g", 1, ("\\Recent", "\\Seen", "$Work")),))
    there = Held((Message("g", 1, ("$Work", "\\Seen")),))
    assert await found({"INBOX": here}, {"INBOX": there}) == []


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        (Held(), Held((SEEN,)), Finding(USER, "INBOX", Kind.MISSING, B, "g2")),
        (Held((SEEN,)), Held(), Finding(USER, "INBOX", Kind.MISSING, A, "g2")),
        (Held(), Held((SEEN, replace(PLAIN, uid=3))), Finding(USER, "INBOX", Kind.RENUMBERED, "", "g2")),
        (Held(), Held((replace(SEEN, flags=()), PLAIN)), Finding(USER, "INBOX", Kind.FLAGS, "", "g1")),
        (Held(), Held(guid="f2"), Finding(USER, "INBOX", Kind.FOLDER_GUID)),
        (Held(), Held(uid_validity=18), Finding(USER, "INBOX", Kind.UID_VALIDITY)),
    ],
)
async def test_each_difference_is_named_once(here: Held, there: Held, expected: Finding) -> None:
    assert await found({"INBOX": here}, {"INBOX": there}) == [expected]


async def test_a_message_twice_is_found_though_both_nodes_agree_on_it() -> None:
    twice = Held((SEEN, replace(SEEN, uid=5)))
    findings = await found({"INBOX": twice}, {"INBOX": twice})
    assert findings == [Finding(USER, "INBOX", Kind.DUPLICATED, node, "g1") for node in (A, B)]
    assert findings[0].detail == "UIDs 1, 5"


async def test_a_message_that_one_node_alone_has_twice_is_named_there() -> None:
    findings = await found({"INBOX": Held((SEEN, replace(SEEN, uid=5)))}, {"INBOX": Held((SEEN,))})
    assert Finding(USER, "INBOX", Kind.DUPLICATED, A, "g1") in findings


async def test_what_the_counters_hide_is_found() -> None:
    """As many messages, the same next UID: another message under the same UID."""
    here, there = Held((Message("left", 1, ()),)), Held((Message("right", 1, ()),))
    findings = await found({"INBOX": here}, {"INBOX": there})
    assert set(findings) == {
        Finding(USER, "INBOX", Kind.MISSING, B, "left"), Finding(USER, "INBOX", Kind.MISSING, A, "right")
    }  # fmt: skip


async def test_a_folder_on_one_node_says_how_much_is_in_it() -> None:
    (finding,) = await found({"INBOX": Held(), "Plans": Held(guid="f3")}, {"INBOX": Held()})
    assert finding == Finding(USER, "Plans", Kind.NO_FOLDER, B)
    assert finding.detail == "2 messages at mail-a"


async def test_a_mailbox_that_one_node_does_not_know_is_found_and_not_read() -> None:
    one = Node({USER: {}, "bert@example.test": {"INBOX": Held()}})
    report = await audit(one, Node({USER: {}}))
    findings = [finding for each in report.audited for finding in each.findings]
    assert findings == [Finding("bert@example.test", "", Kind.UNKNOWN_MAILBOX, B)]


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
    assert audited.findings == (Finding(USER, "INBOX", Kind.MISSING, B, "g2"),)


async def test_a_mailbox_that_cannot_be_read_is_told_of_and_the_others_are_audited() -> None:
    mailboxes = {USER: {"INBOX": Held()}, "bert@example.test": {"INBOX": Held()}}
    broken = Node(mailboxes, {USER: DoveadmError(Problem.COMMAND, "fetch: exit status 75")})
    report = await audit(Node(mailboxes), broken)
    assert [each.unread for each in report.audited] == ["mail-b: command: fetch: exit status 75", ""]
    assert not report.agrees


async def test_a_node_that_answers_no_more_ends_the_audit() -> None:
    mailboxes = {f"u{number:02}": {"INBOX": Held()} for number in range(40)}
    gone = {name: DoveadmError(Problem.REFUSED, "nobody listens") for name in mailboxes}
    report = await audit(Node(mailboxes), Node(mailboxes, gone))
    assert report.stopped.startswith(
        f"{UNREAD_IN_A_ROW} mailboxes in a row could not be read; the last: mail-b"
    )
    assert UNREAD_IN_A_ROW <= len(report.audited) < 10


async def test_without_a_list_of_mailboxes_nothing_begins() -> None:
    silent = Node({}, {USERS.name: DoveadmError(Problem.CLOSED, "the replicator does not run?")})
    with pytest.raises(AuditError, match="mail-b does not list its mailboxes: closed: the replicator"):
        await audit(Node({}), silent)


def row(**values: str) -> Row:
    return {"mailbox": "INBOX", "guid": "g", "uid": "1", "flags": "", **values}


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
