"""The record: two places, whole writes, and damage that is noticed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailward.fencing.node.memory import Memory, Record, decode, encode
from mailward.fencing.node.token import Token

RECORD = Record(3, "abcdef01", Token("abcdef01", 4, 5), {"imaps": "closed"}, None)


def memory_in(path: Path) -> Memory:
    return Memory(str(path / "state"), str(path / "run"))


def test_nothing_written_is_an_empty_record_and_no_damage(tmp_path: Path) -> None:
    assert memory_in(tmp_path).read() == (Record(), "")


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    memory = memory_in(tmp_path)
    assert memory.keep_on_disk(RECORD) == ""
    assert memory.read() == (RECORD, "")


@pytest.mark.parametrize("higher_place", ["disk", "run"])
def test_the_higher_token_of_the_two_places_counts(tmp_path: Path, higher_place: str) -> None:
    memory = memory_in(tmp_path)
    higher = RECORD._replace(token=Token("abcdef01", 4, 6), revision=1)
    in_run, on_disk = (higher, RECORD) if higher_place == "run" else (RECORD, higher)
    memory.keep_in_run(in_run)
    memory.keep_on_disk(on_disk)
    assert memory.read().record == higher


def test_of_equal_tokens_the_later_write_counts(tmp_path: Path) -> None:
    memory = memory_in(tmp_path)
    by_hand = RECORD._replace(revision=4, ports={"imaps": "open"})
    memory.keep_in_run(RECORD)
    memory.keep_on_disk(by_hand)
    assert memory.read().record == by_hand


def test_adopting_holds_although_the_other_place_had_a_higher_token(tmp_path: Path) -> None:
    memory = memory_in(tmp_path)
    memory.keep_in_run(RECORD)
    adopted = Record(4, "beefbeef", None, {"imaps": "closed"})
    assert memory.replace(adopted) == ""
    assert memory.read().record == adopted


@given(position=st.integers(0, len(encode(RECORD)) - 1), byte=st.integers(0, 255))
def test_any_changed_byte_is_noticed(position: int, byte: int) -> None:
    data = bytearray(encode(RECORD))
    if data[position] == byte or position == len(data) - 1:
        return  # unchanged, or the last newline
    data[position] = byte
    with pytest.raises(ValueError, match=r"."):
        decode(bytes(data))


@given(st.integers(0, len(encode(RECORD)) - 2))
def test_a_file_cut_short_is_noticed(length: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(encode(RECORD)[:length])


def test_an_empty_file_is_damage_and_named(tmp_path: Path) -> None:
    memory = memory_in(tmp_path)
    memory.keep_on_disk(RECORD)
    os.truncate(memory.disk, 0)
    assert memory.read().damage == f"{memory.disk} is damaged: checksum does not match"


def test_a_record_of_another_version_is_damage(tmp_path: Path) -> None:
    import zlib

    body = b'{"format":99}'
    with pytest.raises(ValueError, match="not in format 1"):
        decode(body + b"\n%08x\n" % zlib.crc32(body))


def test_a_failed_write_keeps_the_old_record_and_leaves_nothing_behind(tmp_path: Path) -> None:
    memory = memory_in(tmp_path)
    memory.keep_on_disk(RECORD)
    os.makedirs(f"{memory.disk}.new")  # opening it for writing fails
    assert "state.json" in memory.keep_on_disk(RECORD._replace(revision=9))
    os.rmdir(f"{memory.disk}.new")
    assert memory.read() == (RECORD, "")
