"""Bearer tokens: ``requires(Scope.STUDENTS)`` above a view closes it to everybody else.

Hashes are compared, in constant time; a token itself is kept nowhere. A scope without any token is
closed, not open.
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from quart import Quart, current_app, request
from quart_schema import security_scheme

from quart_app.http.problems import FORBIDDEN, UNAUTHORIZED, ProblemError
from quart_app.tokens import LatestTokens, Scope, Tokens

EXTENSION = "QUART_APP_TOKENS"
MAX_TOKEN_LENGTH = 512
CHALLENGE = 'Bearer realm="quart_app"'

P = ParamSpec("P")
R = TypeVar("R")


def install(app: Quart, *, tokens: Tokens) -> None:
    """Let the holders of *tokens* into *app*."""
    app.extensions[EXTENSION] = LatestTokens(tokens)


def tokens() -> Tokens:
    """The tokens that open the current app now."""
    latest: LatestTokens = current_app.extensions[EXTENSION]
    return latest.get()


def requires(
    scope: Scope,
) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
    """Let only requests with a token of *scope* reach the view. Others: ProblemError, 401 or 403.

    Says so in the OpenAPI document, too.
    """

    def decorate(view: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        @wraps(view)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            check(scope)
            return await view(*args, **kwargs)

        return security_scheme([{"bearer": [scope.value]}])(guarded)

    return decorate


def check(scope: Scope) -> None:
    """Raise ProblemError unless the current request carries a token of *scope*."""
    known = tokens()
    if not known.of(scope):
        raise ProblemError(FORBIDDEN, "No token is set up for this address: it is closed.")
    digest = token_digest()
    if digest is None:
        raise _unauthorized(CHALLENGE)
    if _is_one_of(digest, known.of(scope)):
        return
    if any(_is_one_of(digest, known.of(other)) for other in Scope):
        raise ProblemError(FORBIDDEN, "The token is not for this address.")
    raise _unauthorized(f'{CHALLENGE}, error="invalid_token"')


def token_digest() -> bytes | None:
    """The SHA-256 of the current request's bearer token: who is asking, without the secret."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    if kind.lower() != "bearer" or not token or len(token) > MAX_TOKEN_LENGTH:
        return None
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _is_one_of(digest: bytes, known: tuple[bytes, ...]) -> bool:
    """Compare with all of them, always: the time taken tells nothing about which one is near."""
    return bool(sum(hmac.compare_digest(digest, other) for other in known))


def _unauthorized(challenge: str) -> ProblemError:
    return ProblemError(UNAUTHORIZED, UNAUTHORIZED.meaning, headers={"WWW-Authenticate": challenge})
