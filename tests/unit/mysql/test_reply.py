"""The reader of answers: any answer, cut anywhere, is read as it was written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymysql.constants import FIELD_TYPE

from quart_app.mysql import reply as reply_module
from quart_app.mysql.reply import Column, OutOfTurnError, Reply, ReplyError
from tests.support import wire

CELLS = st.none() | st.text(max_size=300) | st.sampled_from(["", "\xfe" * 9, "x" * 70_000])


def text_column(_: bytes) -> Column:
    return "a", bytes.decode, (FIELD_TYPE.VAR_STRING, 45, 0)


def numbered(payloads: list[bytes], *, sequence: int = 1) -> bytes:
    return b"".join(wire.packet(sequence + n, payload) for n, payload in enumerate(payloads))


def read(data: bytes, *, sequence: int = 1, step: int = 1 << 30) -> tuple[Reply, bytes]:
    """Feed *data* in pieces of *step* bytes, as a stream's buffer gives them; what is left over."""
    reply, buffer = Reply(text_column, sequence=sequence), b""
    for start in range(0, len(data), step):
        buffer += data[start : start + step]
        buffer = buffer[reply.feed(buffer) :]
    return reply, buffer


@given(
    rows=st.integers(1, 4).flatmap(
        lambda width: st.lists(st.tuples(*[CELLS] * width), min_size=1, max_size=5)
    ),
    step=st.integers(1, 200),
    status=st.integers(0, 0xFFFF),
)
def test_rows_cut_anywhere_are_read_as_written(
    rows: list[tuple[str | None, ...]], step: int, status: int
) -> None:
    columns = [("a", FIELD_TYPE.VAR_STRING)] * len(rows[0])
    data = numbered(wire.result(columns, list(rows), status=status))
    reply, rest = read(data + b"next", step=max(step, len(data) // 200))
    assert reply.done
    assert rest == b"next"
    assert reply.rows == rows
    assert reply.status == status
    assert reply.affected_rows == len(rows)
    assert reply.more == bool(status & wire.MORE_RESULTS)
    assert not reply.is_ok


@given(
    affected=st.integers(0, 2**64 - 1), insert_id=st.integers(0, 2**64 - 1), step=st.integers(1, 9)
)
def test_counts_of_an_ok_are_read_as_written(affected: int, insert_id: int, step: int) -> None:
    reply, rest = read(numbered([wire.ok(affected=affected, insert_id=insert_id)]), step=step)
    assert (reply.done, reply.is_ok, rest) == (True, True, b"")
    assert (reply.affected_rows, reply.insert_id) == (affected, insert_id)


@given(st.binary(max_size=200), st.integers(1, 20))
def test_any_bytes_end_in_an_answer_a_wait_or_an_error_of_ours(data: bytes, step: int) -> None:
    try:
        reply, _ = read(data, step=step)
    except ReplyError:
        return
    assert reply.done or not reply.rows or reply.status is None


@given(st.binary(max_size=60), st.integers(0, 5))
def test_any_payload_in_turn_ends_likewise(payload: bytes, at: int) -> None:
    payloads = wire.result([("a", 253)], [("x",), ("y",)])
    payloads.insert(at, payload)
    try:
        reply, _ = read(numbered(payloads))
    except ValueError:  # a ReplyError, or a cell that is no text
        return
    assert reply.done or reply.status is None


def test_payloads_of_several_fragments_are_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply_module, "FULL_FRAGMENT", 100)
    cells = ["x" * 300, "", "y" * 97, "z" * 98]
    payloads = wire.result([("a", 253)], [(cell,) for cell in cells])
    fragments: list[bytes] = []
    for payload in payloads:
        while len(payload) >= 100:
            fragments.append(payload[:100])
            payload = payload[100:]  # noqa: PLW2901  # what is left of it
        fragments.append(payload)
    reply, rest = read(numbered(fragments), step=7)
    assert (reply.done, rest) == (True, b"")
    assert reply.rows == [(cell,) for cell in cells]


def test_sequence_numbers_wrap_round() -> None:
    rows: list[tuple[wire.Value, ...]] = [(str(n),) for n in range(1000)]
    reply, _ = read(numbered(wire.result([("a", 253)], rows), sequence=200), sequence=200)
    assert reply.rows == rows


def test_error_in_the_middle_of_rows_ends_the_answer() -> None:
    payloads = wire.result([("a", 253)], [("x",)])
    payloads[-1] = wire.error(3024)
    reply, _ = read(numbered(payloads))
    assert reply.done
    assert reply.error == wire.error(3024)


@pytest.mark.row("G")
def test_packet_out_of_turn_keeps_its_words_only_with_number_zero() -> None:
    for sequence, words in [(0, wire.error(4031)), (7, b"")]:
        with pytest.raises(OutOfTurnError) as caught:
            read(wire.packet(sequence, wire.error(4031)))
        assert caught.value.payload == words


@pytest.mark.parametrize(
    "payload", [b"", b"\0", b"\0\0\0", b"\0\0\0\2", b"\0\xfc\1", b"\0\xff", b"\xfb"]
)
def test_answer_that_is_cut_off_or_no_answer_is_refused(payload: bytes) -> None:
    with pytest.raises(ReplyError):
        read(numbered([payload]))


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (b"\1x", "too few columns"),
        (b"\1x\1y\1z", "other columns than announced"),
        (b"\1x\2y", "other columns than announced"),
        (b"\1x\xff", "no length"),
    ],
)
def test_row_of_another_shape_than_its_columns_is_refused(row: bytes, why: str) -> None:
    payloads = wire.result([("a", 253), ("b", 253)], [("x", "y")])
    payloads[-2] = row
    with pytest.raises(ReplyError, match=why):
        read(numbered(payloads))


def test_rows_before_the_end_of_the_columns_are_refused() -> None:
    payloads = wire.result([("a", 253)], [("x",)])
    del payloads[2]
    with pytest.raises(ReplyError, match="columns without an end"):
        read(numbered(payloads))


@pytest.mark.parametrize("row", [b"\5ab", b"\2ab\1c", b"\xfc\1\0", b"\xfd\1\0\0", b"\xff\0"])
def test_only_value_of_a_row_that_is_not_as_long_as_it_says_is_refused(row: bytes) -> None:
    payloads = wire.result([("a", 253)], [("x",), ("y",)])
    payloads[-2] = row
    reply = Reply(text_column, sequence=1)
    if row[:1] == b"\xff":  # an error, and a poor one
        assert reply.feed(numbered(payloads[:-1]))
        assert reply.error == row
    else:
        with pytest.raises(ReplyError):
            reply.feed(numbered(payloads) + b"more")
    assert reply.rows == [("x",)]


@pytest.mark.parametrize("width", [1, 2])
def test_row_out_of_turn_is_refused_after_those_before_it(width: int) -> None:
    rows = [("x",) * width, ("y",) * width]
    payloads = wire.result([("a", 253)] * width, list(rows))
    begin, last = numbered(payloads[:-2]), wire.packet(99, payloads[-2])
    reply = Reply(text_column, sequence=1)
    with pytest.raises(OutOfTurnError):
        reply.feed(begin + last)
    assert reply.rows == rows[:1]


def test_many_values_of_one_column_are_read_at_once_whatever_their_length() -> None:
    values = [("x" * length,) for length in (0, 1, 250, 251, 65_535, 65_536)] * 60
    data = numbered(wire.result([("a", 253)], [*values, (None,)]))
    reply, rest = read(data)
    assert (reply.rows, rest, reply.done) == ([*values, (None,)], b"", True)
