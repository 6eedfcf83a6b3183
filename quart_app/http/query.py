"""The query string, read strictly: bytes that are no UTF-8 are refused, not replaced."""

from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec
from quart import Request

from quart_app.http import fields
from quart_app.http.problems import INVALID, ProblemError

MAX_PARAMETERS = 50
T = TypeVar("T", bound=msgspec.Struct)


def read(request: Request) -> dict[str, str]:
    """Read the parameters; of one given twice the first counts. Raises ProblemError (400)."""
    raw = request.query_string
    if not raw:
        return {}
    try:
        pairs = parse_qsl(
            raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS
        )
    except UnicodeDecodeError as exc:
        raise ProblemError(INVALID, "The query string is not valid UTF-8.") from exc
    except ValueError as exc:
        raise ProblemError(INVALID, "The query string has too many parameters.") from exc
    return dict(reversed(pairs))


def read_as(request: Request, model: type[T]) -> T:
    """Read the parameters into *model*; an empty one, as forms send it, counts as not given.

    Raises ProblemError (400) that names what does not fit.
    """
    given = {name: value for name, value in read(request).items() if value}
    try:
        return msgspec.convert(given, model, strict=False)
    except msgspec.ValidationError as exc:
        told = fields.fault(given, model, what="parameter", strict=False)
        raise ProblemError(INVALID, told) from exc
