"""``QUART_APP_TOKENS``: which bearer tokens open which routes. Hashes only, never a token.

``students:<sha256 hex>,ops:<sha256 hex>``; several of one scope are all good, for rotation.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

_SHA256_HEX = re.compile(r"[0-9a-fA-F]{64}")


class Scope(Enum):
    """What a token opens."""

    STUDENTS = "students"
    OPS = "ops"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """The SHA-256 digests of the tokens of each scope; a scope that has none is closed."""

    digests: Mapping[Scope, tuple[bytes, ...]] = field(default_factory=dict, repr=False)

    def of(self, scope: Scope) -> tuple[bytes, ...]:
        return self.digests.get(scope, ())


def parse_tokens(text: str) -> Tokens:
    """Read the setting. Raises ValueError that names every fault, by position and not by value."""
    digests: dict[Scope, tuple[bytes, ...]] = {}
    faults: list[str] = []
    entries = [entry.strip() for entry in text.replace("\n", ",").split(",")]
    for number, entry in enumerate(filter(None, entries), start=1):
        try:
            scope, digest = _parse_entry(entry)
        except ValueError as exc:
            faults.append(f"entry {number} {exc}")
            continue
        digests[scope] = (*digests.get(scope, ()), digest)
    if faults:
        raise ValueError("; ".join(faults))
    return Tokens(digests=digests)


def _parse_entry(entry: str) -> tuple[Scope, bytes]:
    name, colon, digest = entry.partition(":")
    known = {scope.value: scope for scope in Scope}
    if not colon:
        message = "should be scope:sha256, as in ops:9f86d0..."
        raise ValueError(message)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        message = f"has an unknown scope ({hint})"
        raise ValueError(message)
    if not _SHA256_HEX.fullmatch(digest):
        message = "should hold the SHA-256 of the token as 64 hex digits"
        raise ValueError(message)
    return known[name], bytes.fromhex(digest)
