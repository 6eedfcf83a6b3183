"""QUART_APP_TOKENS."""

import pytest

from quart_app.tokens import Scope, parse_tokens

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
