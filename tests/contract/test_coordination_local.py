"""The directory of the local store: what may be wrong with it, and what is said then."""

import asyncio
import errno
import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.contract.coordination_contract import answered, pause, request

from mailward.controller.codec import PAUSE, STATE
from mailward.controller.coordination import files, local
from mailward.controller.coordination.local import LocalStore, init, post_offline
from mailward.model.errors import CorruptStore, ForeignStore, StoreBusy, StoreError
from mailward.model.ports import Commit, Recorded
from mailward.model.state import MIN_WRITER, SCHEMA, Answer, State
from mailward.model.token import Token


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    init(tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def opened(directory: Path) -> Iterator[Callable[[], LocalStore]]:
    stores: list[LocalStore] = []

    def open_one() -> LocalStore:
        stores.append(LocalStore(directory))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


Opened = Callable[[], LocalStore]


def change(path: Path, **fields: object) -> None:
    """Alter the state document in place."""
    content = json.loads(path.read_text())
    content["state"] |= fields
    path.write_text(json.dumps(content))


# making one


def test_a_new_store_has_an_id_of_its_own(tmp_path: Path) -> None:
    first, second = init(tmp_path / "one"), init(tmp_path / "two")
    assert first.store_id != second.store_id
    assert first == State(first.store_id, epoch=0, made_epoch=0)
    assert Token.parse(f"{first.store_id}.1.1")


def test_a_store_is_never_made_over_another(directory: Path) -> None:
    with pytest.raises(StoreError, match="already holds a store; move it away first"):
        init(directory)


def test_a_store_made_half_way_is_made_again(tmp_path: Path) -> None:
    """store.json comes last: without it there is none."""
    init(tmp_path / "store")
    (tmp_path / "store" / "store.json").unlink()
    init(tmp_path / "store")


async def test_an_adopted_store_starts_above_every_token_that_is_remembered(tmp_path: Path) -> None:
    tokens = [Token("aaaaaaaa", 7, 3), Token("aaaaaaaa", 4, 9)]
    state = init(tmp_path / "store", remembered=tokens, adopt="aaaaaaaa")
    assert (state.store_id, state.epoch, state.made_epoch) == ("aaaaaaaa", 7, 7)
    store = LocalStore(tmp_path / "store")
    await store.lead()
    assert (await store.read()).versions.epoch == 8
    store.close()


@pytest.mark.parametrize("adopt", [None, "bbbbbbbb"])
def test_targets_that_obey_another_store_are_a_clash(tmp_path: Path, adopt: str | None) -> None:
    with pytest.raises(ForeignStore, match=r"already obey store aaaaaaaa\..*--adopt aaaaaaaa"):
        init(tmp_path / "store", remembered=[Token("aaaaaaaa", 7, 3)], adopt=adopt)
    assert not (tmp_path / "store").exists()


def test_targets_of_two_stores_cannot_be_adopted(tmp_path: Path) -> None:
    tokens = [Token("aaaaaaaa", 7, 3), Token("bbbbbbbb", 1, 1)]
    with pytest.raises(ForeignStore, match="aaaaaaaa, bbbbbbbb"):
        init(tmp_path / "store", remembered=tokens, adopt="aaaaaaaa")


def test_an_id_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="'HAL' is no store-id"):
        init(tmp_path / "store", adopt="HAL")


# a directory that cannot be used


async def test_where_there_is_no_store_nothing_is_done(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "nothing")
    for work in (store.lead, store.read):
        with pytest.raises(StoreError, match=r"no store in .*nothing; make one with: mailward state init"):
            await work()
    assert not (tmp_path / "nothing").exists()
    store.close()


BROKEN = ["", "nonsense", "[]", "{}", '{"version": "1"}', "[" * 100_000, "\xff\xfe"]


@pytest.mark.parametrize("content", BROKEN, ids=range(len(BROKEN)))
@pytest.mark.parametrize("name", ["store.json", "epoch.json", "state.json"])
async def test_a_broken_file_stops_a_start_and_is_named(
    directory: Path, opened: Opened, name: str, content: str
) -> None:
    """I14."""
    (directory / name).write_bytes(content.encode("latin-1"))
    store = opened()
    with pytest.raises(StoreError, match=name):
        await store.lead()
    assert store.may_act_until_s() == float("-inf")


@pytest.mark.parametrize("content", BROKEN, ids=range(len(BROKEN)))
@pytest.mark.parametrize("name", ["store.json", "state.json", "pause.json"])
async def test_a_file_that_breaks_while_leading_holds_everything_until_it_is_mended(
    directory: Path, opened: Opened, name: str, content: str
) -> None:
    store = opened()
    await store.lead()
    before = await store.read()
    whole = (directory / name).read_bytes()
    (directory / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(StoreError, match=name):
        await store.read()
    (directory / name).write_bytes(whole)
    assert await store.read() == before


async def test_a_missing_file_is_named(directory: Path, opened: Opened) -> None:
    for name in ("state.json", "pause.json", "epoch.json"):
        whole = (directory / name).read_bytes()
        (directory / name).unlink()
        store = opened()
        with pytest.raises(StoreError, match=name):  # noqa: PT012
            await store.lead()
            await store.read()
        store.close()
        (directory / name).write_bytes(whole)


async def test_a_failed_start_leaves_the_store_to_the_next_one(directory: Path, opened: Opened) -> None:
    """It must not keep the lock, nor take itself for a leader when asked again."""
    whole = (directory / "state.json").read_bytes()
    (directory / "state.json").write_text("nonsense")
    first, second = opened(), opened()
    with pytest.raises(StoreError):
        await first.lead()
    with pytest.raises(StoreError, match=r"state\.json"):
        await first.lead()
    (directory / "state.json").write_bytes(whole)
    await second.lead()
    assert (await second.read()).versions.epoch == 1
    with pytest.raises(StoreBusy):
        await first.lead()


async def test_a_state_of_another_store_is_refused(directory: Path, opened: Opened) -> None:
    change(directory / "state.json", store_id="ffffffff")
    store = opened()
    await store.lead()
    with pytest.raises(ForeignStore, match=r"state\.json is of store ffffffff"):
        await store.read()


async def test_a_state_of_a_newer_mailward_is_refused_before_it_is_understood(
    directory: Path, opened: Opened
) -> None:
    change(directory / "state.json", min_writer=SCHEMA + 1, operation={"kind": "not known yet"})
    with pytest.raises(
        StoreError, match=r"state\.json was written by a newer mailward .*upgrade this daemon"
    ):
        await opened().lead()


async def test_a_state_too_old_to_read_is_refused(directory: Path, opened: Opened) -> None:
    change(directory / "state.json", schema=MIN_WRITER - 1)
    with pytest.raises(StoreError, match=r"state\.json has schema 0, older than"):
        await opened().lead()


async def test_a_wrong_type_deep_in_the_state_is_named_with_its_place(
    directory: Path, opened: Opened
) -> None:
    change(directory / "state.json", phases=[{"node": 7}])
    with pytest.raises(StoreError, match=r"state\.json holds no valid State: phases\.0\.node"):
        await opened().lead()


async def test_a_number_written_as_text_is_a_wrong_type(directory: Path, opened: Opened) -> None:
    change(directory / "state.json", seq="7")
    with pytest.raises(StoreError, match=r"state\.json holds no valid State: seq"):
        await opened().lead()


@pytest.mark.parametrize("content", ["", '{"version": 3, "sta', "{}", "[]", None])
@pytest.mark.parametrize("name", ["state.json", "pause.json", "epoch.json", "store.json"])
async def test_who_finds_a_file_of_the_store_corrupt_is_told_what_to_type(
    directory: Path, opened: Opened, name: str, content: str | None
) -> None:
    """It named the file, and nobody knew what to do at three in the morning."""
    store_id = json.loads((directory / "store.json").read_text())["store_id"]
    if content is None:
        (directory / name).unlink()
    else:
        (directory / name).write_text(content)
    told = f"Stop mailward, move the directory {directory} away, then: mailward state init --adopt {store_id}"

    async def start() -> None:
        store = opened()
        await store.lead()
        await store.read()

    with pytest.raises(CorruptStore) as error:
        await start()
    assert str(error.value).startswith(f"{directory / name} ")
    assert str(error.value).endswith(f". {told}")
    if name in ("store.json", "pause.json"):
        with pytest.raises(CorruptStore, match=re.escape(told)):
            post_offline(directory, pause())


async def test_of_a_store_whose_id_cannot_be_read_state_init_says_what_to_adopt(
    directory: Path, opened: Opened
) -> None:
    for name in ("store.json", "state.json"):
        (directory / name).write_text("")
    with pytest.raises(CorruptStore, match=r"then: mailward state init, which says what to adopt$"):
        await opened().lead()


async def test_a_file_larger_than_any_of_ours_is_not_read(directory: Path, opened: Opened) -> None:
    (directory / "state.json").write_bytes(b" " * (files.LIMIT + 1))
    with pytest.raises(StoreError, match=r"state\.json is larger than 1048576 bytes; it is not ours"):
        await opened().lead()


@pytest.mark.parametrize("content", ["", "nonsense", "{}", "another id"])
async def test_one_unreadable_request_is_set_aside_and_holds_up_nothing(
    directory: Path, opened: Opened, content: str
) -> None:
    store = opened()
    await store.lead()
    post_offline(directory, request("good"))
    bad = directory / "requests" / "bad.json"
    bad.write_text(content)
    if content == "another id":
        bad.write_bytes((directory / "requests" / "good.json").read_bytes())
    assert [r.id for r in (await store.read()).requests] == ["good"]
    assert not bad.exists()
    assert bad.with_suffix(".unreadable").exists()


def test_requests_are_refused_when_a_hundred_wait(directory: Path) -> None:
    for i in range(local.MAX_REQUESTS):
        post_offline(directory, request(f"r{i}"))
    with pytest.raises(StoreError, match=r"100 requests already wait in .*; is a controller running\?"):
        post_offline(directory, request("one-more"))


@pytest.mark.parametrize("id", ["", "../../etc/passwd", "a/b", "x" * 65, "ä", "a\n"])
def test_the_id_of_a_request_is_a_plain_file_name(directory: Path, id: str) -> None:
    with pytest.raises(StoreError, match="letters, digits and dashes"):
        post_offline(directory, request(id))


# writing


async def test_answers_given_before_a_crash_still_remove_their_requests(
    directory: Path, opened: Opened
) -> None:
    """kill -9 between the commit and the removal of the request's file."""
    store = opened()
    await store.lead()
    seen = await store.read()
    await store.record(answered(seen.state, "r1"), seen.versions)
    post_offline(directory, request("r1"))
    seen = await store.read()
    assert seen.requests == ()
    await store.record(replace(seen.state, seq=1), seen.versions)
    assert list((directory / "requests").iterdir()) == []


async def test_what_a_killed_writer_left_behind_is_cleared_away(directory: Path, opened: Opened) -> None:
    leftovers = [directory / ".state.json.new", directory / "requests" / ".r1.json.new"]
    for leftover in leftovers:
        leftover.write_text("half")
    await opened().lead()
    assert not any(leftover.exists() for leftover in leftovers)


async def test_too_large_a_state_is_refused_with_its_size(directory: Path, opened: Opened) -> None:
    store = opened()
    await store.lead()
    seen = await store.read()
    huge = replace(seen.state, answers=(Answer("r", False, "x" * files.LIMIT, pause().since),))
    with pytest.raises(
        StoreError, match=r"state\.json would be 10\d{5} bytes, more than the 1048576 allowed"
    ):
        await store.record(huge, seen.versions)
    assert await store.read() == seen


def test_too_large_a_pause_is_refused(directory: Path) -> None:
    before = (directory / "pause.json").read_bytes()
    with pytest.raises(StoreError, match="more than the 1048576 allowed"):
        post_offline(directory, replace(pause(), reason="x" * files.LIMIT))
    assert (directory / "pause.json").read_bytes() == before


async def test_text_that_is_no_unicode_does_not_make_the_state_unreadable(
    directory: Path, opened: Opened
) -> None:
    store = opened()
    await store.lead()
    seen = await store.read()
    odd = replace(seen.state, answers=(Answer("r", False, "caf\udce9 \x00", pause().since),))
    assert await store.record(odd, seen.versions) is Commit.COMMITTED
    assert (await store.read()).state.answers[0].detail == "caf? \x00"


@contextmanager
def no_room(directory: Path) -> Iterator[None]:
    """Every write ends with ENOSPC."""
    asides = [directory / f".{name}.json.new" for name in ("state", "pause", "epoch")]
    for aside in asides:
        aside.symlink_to("/dev/full")
    try:
        yield
    finally:
        for aside in asides:
            aside.unlink()


@contextmanager
def little_room(directory: Path) -> Iterator[None]:
    """A write ends half way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("room", "error"), [(no_room, "No space left on device"), (little_room, "File too large")]
)
async def test_on_a_full_disk_a_commit_says_so_and_the_old_state_is_whole(
    directory: Path, opened: Opened, room: Callable[[Path], AbstractContextManager[None]], error: str
) -> None:
    store = opened()
    await store.lead()
    seen = await store.read()
    wanted = replace(seen.state, seq=7)
    with room(directory):
        with pytest.raises(StoreError, match=rf"cannot write .*state\.json: {error}"):
            await store.record(wanted, seen.versions)
        assert await store.read() == seen
        with pytest.raises(StoreError, match=rf"cannot write .*pause\.json: {error}"):
            post_offline(directory, pause())
    assert await store.record(wanted, seen.versions) is Commit.COMMITTED
    assert (await store.read()).state == wanted


async def test_a_commit_whose_rename_may_be_lost_is_unknown(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened()
    await store.lead()
    seen = await store.read()

    def broken(path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(files, "sync_directory", broken)
    assert await store.record(replace(seen.state, seq=7), seen.versions) is Commit.UNKNOWN
    assert (await store.read()).state.seq == 7


async def test_a_directory_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot make .*store: Not a directory"):
        init(tmp_path / "file" / "store")


async def test_a_store_held_by_a_writer_that_hangs_is_unknown_within_its_deadline(
    directory: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "LOCK_WAIT_S", 0.05)
    store = opened()
    await store.lead()
    seen = await store.read()
    with files.locked(directory / "write.lock", 1.0, "busy"):
        assert await store.record(replace(seen.state, seq=1), seen.versions) is Commit.UNKNOWN
        with pytest.raises(StoreBusy, match="written by another process that does not finish"):
            await asyncio.to_thread(post_offline, directory, pause())
    assert await store.record(replace(seen.state, seq=1), seen.versions) is Commit.COMMITTED


async def test_a_disk_that_does_not_answer_is_an_error_within_its_deadline(
    directory: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "CALL_TIMEOUT_S", 0.05)
    store = opened()
    await store.lead()
    whole = (directory / "pause.json").read_bytes()
    (directory / "pause.json").unlink()
    os.mkfifo(directory / "pause.json")  # opening it waits for a writer
    with pytest.raises(StoreError, match="did not answer within"):
        await store.read()
    (directory / "pause.json").open("wb").close()
    (directory / "pause.json").unlink()
    (directory / "pause.json").write_bytes(whole)
    monkeypatch.setattr(local, "CALL_TIMEOUT_S", 5.0)
    assert (await store.read()).pause is None


def test_a_pause_can_be_set_while_the_controller_hangs(directory: Path) -> None:
    """I9: stopped in the middle of its work, it may hold any lock but the one for writing."""
    code = (
        "import asyncio, sys, time; from pathlib import Path\n"
        "from mailward.controller.coordination.local import LocalStore\n"
        "asyncio.run(LocalStore(Path(sys.argv[1])).lead()); print('leading', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(directory)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"leading\n"
        process.send_signal(signal.SIGSTOP)
        try:
            post_offline(directory, pause())
            with pytest.raises(StoreBusy):
                asyncio.run(seen_by_another(directory, lead=True))
            assert asyncio.run(seen_by_another(directory)).pause == pause()
        finally:
            process.kill()
    assert asyncio.run(seen_by_another(directory, lead=True)).versions.epoch == 2


async def seen_by_another(directory: Path, *, lead: bool = False) -> Recorded:
    store = LocalStore(directory)
    try:
        if lead:
            await store.lead()
        return await store.read()
    finally:
        store.close()


def test_what_is_stored_is_readable_json(directory: Path) -> None:
    """An administrator looks into it at three in the morning."""
    post_offline(directory, pause())
    content = json.loads((directory / "pause.json").read_text())
    assert content["pause"]["owner"] == "ann"
    assert PAUSE.load(json.dumps(content["pause"]).encode(), "pause") == pause()
    state = json.loads((directory / "state.json").read_text())["state"]
    assert STATE.load(json.dumps(state).encode(), "state").schema == SCHEMA


@pytest.mark.parametrize("how", ["another store in its place", "its lock removed"])
async def test_a_store_that_is_replaced_while_it_is_in_use_says_so_and_records_nothing(
    directory: Path, opened: Opened, how: str
) -> None:
    """The daemon went on in the new one, with an epoch that its targets had already seen."""
    store = opened()
    await store.lead()
    seen = await store.read()
    if how == "its lock removed":
        (directory / "lock").unlink()
    else:
        directory.rename(directory.with_name("away"))
        init(directory, adopt=seen.state.store_id)
    replaced = "is not the store any more that this daemon began with"
    with pytest.raises(StoreError, match=replaced):
        await store.read()
    with pytest.raises(StoreError, match=replaced):
        await store.record(replace(seen.state, seq=7), seen.versions)
    assert (await seen_by_another(directory)).state.seq == 0
