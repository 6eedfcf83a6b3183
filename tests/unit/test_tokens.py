"""QUART_APP_TOKENS."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from quart_app.tokens import LOOK_EVERY, LatestTokens, Scope, Tokens, parse_tokens, read_tokens

A, B = "aa" * 32, "BB" * 32


def test_scopes_hold_several_digests_for_rotation() -> None:
    tokens = parse_tokens(f" students:{A}, students:{B},ops:{A} ,")
    assert tokens.of(Scope.STUDENTS) == (bytes.fromhex(A), bytes.fromhex(B))
    assert tokens.of(Scope.OPS) == (bytes.fromhex(A),)


def test_scope_without_tokens_is_empty() -> None:
    assert parse_tokens("").of(Scope.OPS) == ()


def test_every_fault_is_told_by_position_and_no_hash_shown() -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_tokens(f"student:{A},ops,ops:{A[1:]}")
    assert str(caught.value) == (
        "entry 1 has an unknown scope (did you mean students?); "
        "entry 2 should be scope:sha256, as in ops:9f86d0...; "
        "entry 3 should hold the SHA-256 of the token as 64 hex digits"
    )


def test_digests_are_not_in_the_repr() -> None:
    assert repr(parse_tokens(f"ops:{A}")) == "Tokens()"


class Rotation:
    """Tokens of a file, and a clock."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.now = 0.0
        self.write(f"ops:{A}")
        self.latest = LatestTokens(read_tokens(file), clock=lambda: self.now)

    def write(self, text: str) -> None:
        """As secrets are changed: a new file takes the place of the old."""
        new = self.file.with_suffix(".new")
        new.write_text(text)
        new.rename(self.file)

    def later(self) -> tuple[bytes, ...]:
        self.now += LOOK_EVERY
        return self.latest.get().of(Scope.OPS)


@pytest.fixture
def rotation(tmp_path: Path) -> Rotation:
    return Rotation(tmp_path / "tokens")


def test_a_file_written_anew_opens_and_closes_without_a_restart(rotation: Rotation) -> None:
    assert rotation.later() == (bytes.fromhex(A),)
    rotation.write(f"ops:{A},ops:{B}")
    assert rotation.later() == (bytes.fromhex(A), bytes.fromhex(B))
    rotation.write(f"ops:{B}")
    assert rotation.latest.get().of(Scope.OPS) == (bytes.fromhex(A), bytes.fromhex(B))
    assert rotation.later() == (bytes.fromhex(B),)


def test_a_faulty_file_changes_nothing_and_is_told_of_once(
    rotation: Rotation, caplog: pytest.LogCaptureFixture
) -> None:
    rotation.write(f"ops:{A},opps:{B}")
    with caplog.at_level(logging.WARNING):
        assert rotation.later() == rotation.later() == (bytes.fromhex(A),)
    (record,) = caplog.records
    assert record.getMessage() == (
        "the tokens stay as they were, since their file is faulty:"
        " entry 2 has an unknown scope (did you mean ops?)"
    )


def test_a_file_that_is_gone_for_a_while_is_missed_once(
    rotation: Rotation, caplog: pytest.LogCaptureFixture
) -> None:
    rotation.file.unlink()
    with caplog.at_level(logging.WARNING):
        assert rotation.later() == rotation.later() == (bytes.fromhex(A),)
    assert len(caplog.records) == 1
    assert "(FileNotFoundError)" in caplog.text
    rotation.write(f"ops:{B}")
    assert rotation.later() == (bytes.fromhex(B),)


def test_a_file_that_is_no_text_shows_nothing_of_itself(rotation: Rotation) -> None:
    rotation.file.write_bytes(b"ops:\xff")
    with pytest.raises(ValueError, match=r"^it cannot be read \(UnicodeDecodeError\)$"):
        read_tokens(rotation.file)


def test_tokens_of_no_file_stay() -> None:
    tokens = parse_tokens(f"ops:{A}")
    latest = LatestTokens(tokens, clock=lambda: 1e9)
    assert latest.get() is tokens


def test_where_they_came_from_is_not_in_the_repr() -> None:
    assert repr(replace(Tokens(), file=Path("/run/secrets/tokens"))) == "Tokens()"
