"""``QUART_APP_TOKENS``: which bearer tokens open which routes. Hashes only, never a token.

``students:<sha256 hex>,ops:<sha256 hex>``; several of one scope are all good, for rotation. Those of a
file (``QUART_APP_TOKENS_FILE``) change with it, without a restart.
"""

import difflib
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

log = logging.getLogger("quart_app.http")

# How long a token that was taken out of the file may go on opening, in seconds.
LOOK_EVERY = 1.0

_SHA256_HEX = re.compile(r"[0-9a-fA-F]{64}")


class Scope(Enum):
    """What a token opens."""

    STUDENTS = "students"
    OPS = "ops"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """The SHA-256 digests of the tokens of each scope; a scope that has none is closed.

    *file*: where they were read, if they may change there.
    """

    digests: Mapping[Scope, tuple[bytes, ...]] = field(default_factory=dict, repr=False)
    file: Path | None = field(default=None, repr=False)

    def of(self, scope: Scope) -> tuple[bytes, ...]:
        return self.digests.get(scope, ())


class LatestTokens:
    """The tokens as their file has them now; looks there once a second at most.

    While the file cannot be read, or has a fault, those it had before stay; that is logged, once for
    each time it was written.
    """

    def __init__(self, tokens: Tokens, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._tokens = tokens
        self._clock = clock
        self._look_at = clock()
        self._stamp: tuple[int, ...] | None = ()

    def get(self) -> Tokens:
        """Give the tokens. Reads a small local file if that was written anew."""
        file, now = self._tokens.file, self._clock()
        if file is not None and now >= self._look_at:
            self._look_at = now + LOOK_EVERY
            self._look(file)
        return self._tokens

    def _look(self, file: Path) -> None:
        stamp = _stamp(file)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._tokens = read_tokens(file)
        except ValueError as error:
            log.warning("the tokens stay as they were, since their file is faulty: %s", error)


def read_tokens(file: Path) -> Tokens:
    """Read them from *file*. Raises ValueError that repeats nothing of it."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"it cannot be read ({type(error).__name__})"
        raise ValueError(message) from None
    return replace(parse_tokens(text), file=file)


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


def _stamp(file: Path) -> tuple[int, ...] | None:
    """Something else whenever *file* may be: its ctime, since that changes with its mode, too."""
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_ctime_ns, stat.st_ino, stat.st_size
