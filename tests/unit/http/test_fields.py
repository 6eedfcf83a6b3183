"""A refused request is told what to mend: plainly, and nothing of what it sent."""

from datetime import datetime
from typing import Annotated

import msgspec
import pytest
from msgspec import Meta

from quart_app.http.fields import fault


class Model(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    page_size: Annotated[int, Meta(ge=1, le=500)]
    count: Annotated[int, Meta(ge=0)] = 0
    number: int = 0
    name: str | None = None
    taken_at: Annotated[datetime, Meta(tz=True)] | None = None
    ratio: float = 0.0


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "The body should be an object."),
        ({}, "The field pageSize is missing."),
        ({"pageSize": 501}, "pageSize should be a whole number from 1 to 500."),
        ({"pageSize": "7"}, "pageSize should be a whole number from 1 to 500."),
        ({"pageSize": 7, "count": -1}, "count should be a whole number of 0 or more."),
        ({"pageSize": 7, "number": 1.5}, "number should be a whole number."),
        ({"pageSize": 7, "name": 7}, "name should be a text."),
        (
            {"pageSize": 7, "takenAt": "2026-05-01T12:00:00"},
            "takenAt should be a date and time with its zone, as in 2026-05-01T12:00:00Z.",
        ),
        ({"pageSize": 7, "ratio": "half"}, "ratio should be as the documentation says."),
    ],
)
def test_first_fault_is_told_in_a_sentence(given: object, told: str) -> None:
    assert fault(given, Model, what="field") == told


def test_unknown_name_is_not_repeated_but_the_known_are_told() -> None:
    told = fault({"pageSize": 7, "s3cret": 1}, Model, what="field")
    assert "s3cret" not in told
    assert told.startswith("There is a field that is not known here. Known: pageSize, count, ")


def test_number_may_be_written_as_text_in_a_query() -> None:
    told = fault({"pageSize": "7", "x": "1"}, Model, what="parameter", strict=False)
    assert told.startswith("There is a parameter ")
