"""What is wrong with a request's fields, in words of ours: for people, and without what they sent.

msgspec finds that something is wrong, and quickly; but its texts speak of Python's types, and repeat
names that the client made up. So only a request that was refused is looked at again, field by field.
"""

from collections.abc import Mapping

import msgspec
from msgspec import inspect
from msgspec.inspect import DateTimeType, IntType, Metadata, NoneType, StrType, Type, UnionType


def fault(given: object, model: type[msgspec.Struct], *, what: str, strict: bool = True) -> str:
    """Say in a sentence why *given*, which msgspec refused, is no *model*.

    Arguments:
        *what*: a field's name for the client: "field" of a body, "parameter" of a query.
        *strict*: whether a number has to be one, or may be written as text.
    """
    if not isinstance(given, Mapping):
        return "The body should be an object."
    fields = msgspec.structs.fields(model)
    for field in fields:
        name = field.encode_name
        if name not in given:
            if field.required:
                return f"The {what} {name} is missing."
        elif not _fits(given[name], field.type, strict=strict):
            return f"{name} should be {_words(inspect.type_info(field.type))}."
    known = ", ".join(field.encode_name for field in fields)
    return f"There is a {what} that is not known here. Known: {known}."


def _fits(value: object, type_: object, *, strict: bool) -> bool:
    try:
        msgspec.convert(value, type_, strict=strict)
    except msgspec.ValidationError:
        return False
    return True


def _words(type_: Type) -> str:
    match type_:
        case Metadata(type=inner):
            words = _words(inner)
        case UnionType(types=types):
            words = " or ".join(_words(each) for each in types if not isinstance(each, NoneType))
        case IntType():
            words = "a whole number" + _range(type_)
        case DateTimeType():
            words = "a date and time with its zone, as in 2026-05-01T12:00:00Z"
        case StrType():
            words = "a text"
        case _:
            words = "as the documentation says"
    return words


def _range(number: IntType) -> str:
    if number.ge is None:
        return ""
    return f" of {number.ge} or more" if number.le is None else f" from {number.ge} to {number.le}"
