"""The request's body, read strictly: JSON or a form, of the fields that are asked for."""

from typing import TypeVar

import msgspec
from quart import Request

from quart_app.http import fields
from quart_app.http.problems import INVALID, UNSUPPORTED_TYPE, ProblemError

JSON = "application/json"
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
T = TypeVar("T", bound=msgspec.Struct)


async def read_json(request: Request, model: type[T]) -> T:
    """Read a JSON body into *model*. Raises ProblemError: 415, or 400 that names what is wrong."""
    if request.mimetype != JSON:
        raise ProblemError(UNSUPPORTED_TYPE, f"The body should be {JSON}.")
    return _decode(await request.get_data(as_text=False), model)


async def read_json_or_form(request: Request, model: type[T]) -> T:
    """Read a JSON body, or a form's fields, into *model*. Raises ProblemError (400, 415)."""
    if request.mimetype in FORMS:
        form = (await request.form).to_dict()
        try:
            return msgspec.convert(form, model, strict=False)
        except msgspec.ValidationError as exc:
            told = fields.fault(form, model, what="field", strict=False)
            raise ProblemError(INVALID, told) from exc
    return await read_json(request, model)


def _decode(data: str | bytes, model: type[T]) -> T:
    try:
        try:
            return msgspec.json.decode(data, type=model)
        except msgspec.ValidationError as exc:
            told = fields.fault(msgspec.json.decode(data), model, what="field")
            raise ProblemError(INVALID, told) from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ProblemError(INVALID, "The body is not valid JSON.") from exc
    except RecursionError as exc:
        raise ProblemError(INVALID, "The body is nested too deeply.") from exc
