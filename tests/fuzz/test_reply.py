"""The reader of answers against bytes from anywhere. It works on what a server, or an attacker
between, sends: it must end, raise nothing but its own error, and read what aiomysql reads.
"""

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, TypeVar

import aiomysql
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quart_app.mysql import reply as reply_module
from quart_app.mysql.driver import Connection
from quart_app.mysql.reply import Column, OutOfTurnError, Reply, ReplyError
from tests.fuzz.answers import (
    ANSWERS,
    UTF8MB4,
    VAR_STRING,
    WITH_ROWS,
    Answer,
    encode,
    mutated,
    number,
)
from tests.fuzz.answers import Column as Definition

T = TypeVar("T")
FUZZED = settings(max_examples=300, deadline=None)
CAREFULLY = settings(FUZZED, suppress_health_check=[HealthCheck.function_scoped_fixture])


def as_sent(definition: bytes) -> Column:
    """Read nothing out of a column's definition: every value stays bytes."""
    return definition.hex(), None, (0, 0, 0)


def read(pieces: Sequence[bytes]) -> tuple[object, ...]:
    """What comes of *pieces* that arrive one after another: all that can be seen of it."""
    reply, buffer, error = Reply(as_sent, sequence=1), b"", None
    try:
        for piece in pieces:
            buffer += piece
            consumed = reply.feed(buffer)
            assert 0 <= consumed <= len(buffer)
            assert reply.feed(buffer[consumed:]) == 0, "it left a whole packet"
            buffer = buffer[consumed:]
    except ReplyError as exc:
        error, buffer = (type(exc), str(exc), getattr(exc, "payload", None)), b""
    fields = (reply.rows, reply.columns, reply.kinds, reply.affected_rows, reply.insert_id)
    ends = (reply.status, reply.is_ok, reply.error, reply.done, reply.sequence, reply.more)
    return (error, buffer, *fields, *ends)


@st.composite
def _cuts(draw: st.DrawFn, data: bytes) -> list[bytes]:
    places = sorted(draw(st.sets(st.integers(0, len(data)), max_size=8)))
    return [data[begin:end] for begin, end in zip([0, *places], [*places, len(data)], strict=True)]


_PAYLOADS = st.lists(
    st.binary(max_size=12)
    | st.sampled_from(
        [
            b"",
            b"\x00",
            b"\x01",
            b"\x02",
            b"\xfb",
            b"\xfe",
            b"\xff",
            b"\xfe\0\0\x02\0",
            b"\x00\0\0\x02\0",
        ]
    ),
    max_size=10,
)
_STREAMS = (
    st.binary(max_size=200)
    | _PAYLOADS.map(encode)
    | ANSWERS.map(lambda answer: encode(answer.payloads()))
    | mutated(ANSWERS.map(lambda answer: encode(answer.payloads())))
)


@FUZZED
@given(st.data(), _STREAMS)
def test_any_bytes_end_in_an_answer_or_its_error_however_they_are_cut(
    data: st.DataObject, stream: bytes
) -> None:
    assert read(data.draw(_cuts(stream))) == read([stream])


@CAREFULLY
@given(ANSWERS, st.integers(1, 40), st.binary(max_size=8))
def test_answer_is_read_as_it_was_meant(
    monkeypatch: pytest.MonkeyPatch, answer: Answer, fragment: int, after: bytes
) -> None:
    monkeypatch.setattr(reply_module, "FULL_FRAGMENT", fragment)
    stream = encode(answer.payloads(), fragment=fragment)
    reply = Reply(as_sent, sequence=1)
    assert reply.feed(stream + after) == len(stream)
    assert reply.done
    assert reply.rows == list(answer.rows)
    assert len(reply.columns) == len(answer.columns)
    assert reply.insert_id == answer.insert_id
    if answer.error is not None:
        assert reply.error == answer.payloads()[-1]
        return
    assert reply.affected_rows == (len(answer.rows) if answer.columns else answer.affected_rows)
    assert reply.status == answer.status
    assert not reply.more


def test_row_of_several_packets_is_read() -> None:
    cells = (b"a" * 0xFFFFFF, None, b"b" * 70_000)
    answer = Answer(columns=(_text("x"), _text("y"), _text("z")), rows=(cells, (b"1", b"2", b"3")))
    reply = Reply(as_sent, sequence=1)
    stream = encode(answer.payloads())
    assert reply.feed(stream) == len(stream)
    assert reply.rows == list(answer.rows)


def test_number_of_a_packet_must_be_the_next() -> None:
    stream = encode(Answer().payloads(), sequence=0)
    with pytest.raises(OutOfTurnError, match="got 0 expected 1"):
        Reply(as_sent, sequence=1).feed(stream)


@pytest.mark.parametrize(
    "value", [0, 250, 251, 0xFFFF, 0x10000, 0xFFFFFF, 0x1000000, (1 << 64) - 1]
)
def test_every_size_of_number_is_read(value: int) -> None:
    reply = Reply(as_sent, sequence=1)
    reply.feed(encode([b"\x00" + number(value) + number(value) + b"\x02\x00\x00\x00"]))
    assert (reply.affected_rows, reply.insert_id) == (value, value)


# -- beside aiomysql's reader ----------------------------------------------------------------------


@pytest.fixture(name="loop", scope="module")
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@FUZZED
@given(answer=WITH_ROWS)
def test_rows_are_those_of_aiomysql(loop: asyncio.AbstractEventLoop, answer: Answer) -> None:
    stream = encode(answer.payloads())
    theirs = _hearing(aiomysql.Connection, stream, loop)
    _at_once(theirs._read_query_result())
    ours = _hearing(Connection, stream, loop)
    reply = _at_once(ours._read_reply(ours._column))
    assert repr(reply.rows) == repr([tuple(row) for row in theirs._result.rows or ()])
    assert [type(cell) for row in reply.rows for cell in row] == [
        type(cell) for row in theirs._result.rows or () for cell in row
    ]
    assert reply.columns == [column[0] for column in theirs._result.description]
    assert ours._next_seq_id == theirs._next_seq_id


def _hearing(kind: type[Any], stream: bytes, loop: asyncio.AbstractEventLoop) -> Any:
    """A connection that was never made, and has *stream* in its buffer."""
    connection = kind(loop=loop, charset="utf8mb4")
    connection._reader = asyncio.StreamReader(loop=loop)
    connection._reader.feed_data(stream)
    connection._next_seq_id = 1
    return connection


def _at_once(work: Coroutine[Any, Any, T]) -> T:
    """Run what has no reason to wait."""
    try:
        work.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    work.close()
    raise AssertionError("it waited for more bytes")


def _text(name: str) -> Definition:
    return Definition(name=name, kind=VAR_STRING, charset=UTF8MB4)
