"""doveadm's JSON, as Dovecot 2.3.19 wrote it, in any pieces, and anything else."""

import contextlib
import itertools
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailward.replication.audit.contents import questions
from mailward.replication.sources.doveadm import (
    OVERVIEW,
    PROCESS,
    QUESTIONS,
    SERVICES,
    SLOTS,
    USERS,
    DoveadmError,
    Malformed,
    Question,
    Row,
)
from mailward.replication.sources.replicator import (
    Overview,
    Process,
    User,
    read_overview,
    read_process,
    read_slot,
    read_user,
)
from mailward.replication.sources.rows import MAX_VALUE_CHARS, CliRows, HttpRows

OVERVIEW_ROWS = (
    '[{"field":"Queued \'sync\' requests","value":"0"},{"field":"Queued \'high\' requests","value":"38"},'
    '{"field":"Queued \'low\' requests","value":"7"},{"field":"Queued \'failed\' requests","value":"2"},'
    '{"field":"Queued \'full resync\' requests","value":"41"},'
    '{"field":"Waiting \'failed\' requests","value":"1"},'
    '{"field":"Total number of known users","value":"51"}]'
)
SLOT_ROWS = (
    '[{"username":"u43@example.test","type":"incremental","status":"Waiting for dsync to finish"},'
    '{"username":"","type":"-","status":"Not connected"}]'
)
PROCESS_ROWS = (
    '[{"name":"replicator","pid":"763","available_count":"1000","total_count":"3",'
    '"idle_start":"1795430797","last_status_update":"1795430797","last_kill_sent":"0"}]'
)
SERVICE_ROWS = (
    '[{"name":"replicator","process_count":"1","exit_failure_last":"1795431075","process_total":"3"},'
    '{"name":"doveadm","process_count":"1","exit_failure_last":"0","process_total":"264"}]'
)
USER_ROW = (
    '{"username":"u00@example.test","priority":"high","fast sync":"00:00:39",'
    '"full sync":"00:00:53","success sync":"27:46:53","failed":"y"}'
)
ASKED = (OVERVIEW, SLOTS, PROCESS, SERVICES)
ANSWER = (
    f'[["doveadmResponse",{OVERVIEW_ROWS},"overview"],["doveadmResponse",{SLOT_ROWS},"slots"],'
    f'["doveadmResponse",{PROCESS_ROWS},"process"],["doveadmResponse",{SERVICE_ROWS},"services"]]\n'
).encode()


def read(data: bytes, *cuts: int, asked: tuple[Question, ...] = ASKED) -> list[tuple[Question, Row]]:
    rows = HttpRows(asked)
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    pieces = [data[start:end] for start, end in itertools.pairwise(edges)]
    found = [row for piece in pieces for row in rows.feed(piece)]
    rows.finish()
    return found


def rows_of(question: Question) -> list[Row]:
    return [row for asked, row in read(ANSWER) if asked is question]


def test_a_real_answer_gives_its_figures() -> None:
    assert read_overview(rows_of(OVERVIEW)) == Overview(0, 38, 7, 2, 41, 1, 51)
    assert read_overview(rows_of(OVERVIEW)).waiting == 48
    assert [read_slot(row) for row in rows_of(SLOTS)] == ["u43@example.test", ""]
    assert read_process(rows_of(PROCESS), rows_of(SERVICES)) == Process(763, 3, 264, True)
    assert read_user(json.loads(USER_ROW)) == ("u00@example.test", User(True, 100_013))


@given(st.lists(st.integers(0, 4000), max_size=40))
def test_rows_are_the_same_in_whatever_pieces_they_arrive(cuts: list[int]) -> None:
    assert read(ANSWER, *cuts) == read(ANSWER)


@given(st.lists(st.integers(0, 2000), max_size=20))
def test_the_command_line_gives_the_same_rows_as_the_api(cuts: list[int]) -> None:
    data = OVERVIEW_ROWS.encode()
    edges = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
    rows = CliRows()
    found = [row for start, end in itertools.pairwise(edges) for row in rows.feed(data[start:end])]
    rows.finish()
    assert found == rows_of(OVERVIEW)


def test_an_error_is_found_although_dovecot_forgets_the_comma_before_it() -> None:
    data = f'[["doveadmResponse",{OVERVIEW_ROWS},"a"]["error",{{"type":"unknownMethod", "exitCode":0}},"b"]]'
    with pytest.raises(DoveadmError, match="replicatorDsyncStatus: this Dovecot does not know the command"):
        read(data.encode())


def test_an_exit_status_is_passed_on() -> None:
    with pytest.raises(DoveadmError, match="command: replicatorStatus: exit status 64"):
        read(b'[["error",{"type":"exitCode", "exitCode":64},"i"]]')


def test_what_an_exit_status_means_of_a_mailbox_is_said_of_a_mailbox_only() -> None:
    data = b'[["error",{"type":"exitCode", "exitCode":67},"i"]]'
    with pytest.raises(DoveadmError, match=r"fetch: exit status 67 \(it has no such user\)$"):
        read(data, asked=questions("anna")[1:])
    with pytest.raises(DoveadmError, match=r"replicatorStatus: exit status 67$"):
        read(data)


def test_a_command_that_dovecot_does_not_allow_is_said_to_be_one() -> None:
    with pytest.raises(DoveadmError, match="its doveadm_allowed_commands does not have it"):
        read(b'[["error",{"type":"unAuthorized", "exitCode":0},"i"]]')


def test_a_mask_that_matches_nobody_is_an_empty_answer() -> None:
    assert read(b'[["doveadmResponse",[],"users"]]', asked=(USERS,)) == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"[[]]",
        b"[[[[[[[[",
        b"]",
        b"null",
        b"<html>",
        b"\xff\xfe\x00",
        ANSWER[:-3],
        ANSWER[: len(ANSWER) // 2],
        ANSWER + b"[]",
        ANSWER[:-2] + b',["doveadmResponse",[],"more"]]',
        b'{"a":' * 2000,
        b'[["doveadmResponse",[{"username":' + b"9" * 5000 + b'}],"t"]]',
        b'[["doveadmResponse",[{"username":"' + b"u" * (MAX_VALUE_CHARS + 1),
        b'[["doveadmResponse",[{"username":1}],"t"]]',
        b'[["doveadmResponse",["a"],"t"]]',
        b'[["other",[{}],"t"]]',
        b'[[[{}],"doveadmResponse"]]',
        b'[["doveadmResponse",[[{}]],"t"]]',
    ],
)
def test_anything_else_is_an_error_and_never_a_figure(data: bytes) -> None:
    with pytest.raises(DoveadmError):
        read(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'[["doveadmResponse",[{"username":1}],"t"]]', "a value that is no string"),
        (b'[["doveadmResponse",[],"t"]', "the answer is cut off"),
        (b'[["doveadmResponse",[],"t"],["doveadmResponse",[{}],"t"]]', "more answers than questions"),
        (b"[]", "0 answers to 1 questions"),
        (b'[["doveadmResponse",[],"t"]][', "more after the end"),
        (b'[["doveadmResponse",[{"user', "ends in the middle of a row"),
    ],
)
def test_what_is_wrong_with_an_answer_is_said(data: bytes, message: str) -> None:
    with pytest.raises(Malformed, match=message):
        read(data, asked=(USERS,))


def test_a_row_that_does_not_end_is_given_up_long_before_the_memory_is() -> None:
    rows = HttpRows([USERS])
    list(rows.feed(b'[["doveadmResponse",[{"username":"'))
    list(rows.feed(b"u" * (MAX_VALUE_CHARS - 100)))
    with pytest.raises(Malformed, match="does not end"):
        list(rows.feed(b"u" * 200))


def try_everything(found: list[tuple[Question, Row]]) -> None:
    rows: dict[str, list[Row]] = {question.name: [] for question in QUESTIONS}
    for question, row in found:
        rows[question.name].append(row)
    read_overview(rows["overview"])
    for row in rows["slots"]:
        read_slot(row)
        read_user(row)
    read_process(rows["process"], rows["services"])


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_random_bytes_raise_our_error_and_no_other(data: bytes, cuts: list[int]) -> None:
    with pytest.raises(DoveadmError):
        try_everything(read(data, *cuts))


@given(st.integers(0, len(ANSWER) - 1), st.binary(min_size=1, max_size=4))
def test_a_damaged_answer_is_read_or_refused_but_breaks_nothing(position: int, noise: bytes) -> None:
    with contextlib.suppress(DoveadmError):
        try_everything(read(ANSWER[:position] + noise + ANSWER[position + len(noise) :]))


@pytest.mark.parametrize(
    ("reader", "message"),
    [
        (lambda: read_overview([]), "lacks \"Queued 'sync' requests\""),
        (lambda: read_overview([{"field": "Queued 'sync' requests", "value": "-1"}]), "is not a number"),
        (lambda: read_user({"username": "u", "priority": "none"}), "a row without 'failed'"),
        (
            lambda: read_user({"username": "u", "priority": "none", "failed": "-", "success sync": "soon"}),
            "'success sync' is not an age",
        ),
        (lambda: read_process([], rows_of(SERVICES)), "no replicator process runs"),
        (lambda: read_process(rows_of(PROCESS), []), "no replicator process runs"),
    ],
)
def test_what_is_missing_or_odd_is_named(reader: Callable[[], object], message: str) -> None:
    with pytest.raises(DoveadmError, match=message):
        reader()


def test_a_priority_nobody_has_heard_of_counts_as_waiting() -> None:
    row = {"username": "u", "priority": "urgent", "failed": "-", "success sync": "-"}
    assert read_user(row) == ("u", User(waiting=True, success_age_s=None))
