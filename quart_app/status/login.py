"""A browser sends no bearer token: a form takes it once, and sets a cookie that is good for an hour.

The cookie is signed, says until when, and by which token: it ends with the token. HttpOnly and
SameSite=Strict, so that no script reads it and no other site's page sends it.
"""

import contextlib
import hashlib
import hmac
import os
import re
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import time

from quart_app.metrics_folder import FOLDER

COOKIE = "quart_app_status"
LIFETIME = 3600
KEY_FILE = "status.key"
KEY_BYTES = 32
UNTIL = re.compile(r"[0-9]{1,12}")  # int() raises on thousands of digits


class Login:
    """Makes and checks cookies. *key*: the same in all workers of one start."""

    def __init__(self, key: bytes, *, clock: Callable[[], float] = time) -> None:
        self._key = key
        self._clock = clock

    def cookie_for(self, digest: bytes) -> str:
        """Make the cookie of somebody who showed the token of *digest*."""
        until = f"{int(self._clock()) + LIFETIME}"
        return f"{until}.{self._mark(until, digest)}"

    def is_good(self, cookie: str, digests: tuple[bytes, ...]) -> bool:
        """Tell whether *cookie* is ours, of one of the tokens of *digests*, and not too old."""
        until, _, mark = cookie.partition(".")
        if not UNTIL.fullmatch(until) or int(until) < self._clock():
            return False
        given = mark.encode("utf-8", "surrogateescape")
        marks = [self._mark(until, digest).encode() for digest in digests]
        return bool(sum(hmac.compare_digest(given, own) for own in marks))

    def _mark(self, until: str, digest: bytes) -> str:
        return hmac.new(self._key, until.encode() + b"." + digest, hashlib.sha256).hexdigest()


def shared_key() -> bytes:
    """The key of this start: in the workers' folder if there is one, else of this process alone."""
    folder = os.environ.get(FOLDER)
    if not folder:
        return secrets.token_bytes(KEY_BYTES)
    file = Path(folder) / KEY_FILE
    with tempfile.NamedTemporaryFile(dir=folder) as made:  # readable by us alone
        made.write(secrets.token_bytes(KEY_BYTES))
        made.flush()
        with contextlib.suppress(FileExistsError):  # a sibling was first
            os.link(made.name, file)
    return file.read_bytes()
