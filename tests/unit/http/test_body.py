"""Bodies: what is read, and how the rest is refused."""

from typing import Annotated

import msgspec
import pytest
from quart import Quart, request

from quart_app.http import body, problems

MULTIPART = b'--b\r\nContent-Disposition: form-data; name="number"\r\n\r\n7\r\n--b--\r\n'


class Asked(msgspec.Struct, frozen=True):
    """A body with one field."""

    number: Annotated[int, msgspec.Meta(ge=0)]


@pytest.fixture(name="app")
def _app() -> Quart:
    app = Quart(__name__)
    problems.install(app)

    @app.post("/json")
    async def json() -> str:
        return str((await body.read_json(request, Asked)).number)

    @app.post("/either")
    async def either() -> str:
        return str((await body.read_json_or_form(request, Asked)).number)

    return app


async def _post(app: Quart, path: str, data: bytes, content_type: str) -> tuple[int, str]:
    response = await app.test_client().post(path, data=data, headers={"Content-Type": content_type})
    text = await response.get_data(as_text=True)
    assert isinstance(text, str)
    return response.status_code, text


@pytest.mark.parametrize(
    ("path", "data", "content_type"),
    [
        ("/json", b'{"number": 7}', "application/json"),
        ("/json", b'{"number": 7}', "application/json; charset=utf-8"),
        ("/either", b'{"number": 7}', "application/json"),
        ("/either", b"number=7", "application/x-www-form-urlencoded"),
        ("/either", b"number=7&number=8", "application/x-www-form-urlencoded"),
        ("/either", MULTIPART, "multipart/form-data; boundary=b"),
    ],
)
async def test_what_fits_is_read(app: Quart, path: str, data: bytes, content_type: str) -> None:
    assert await _post(app, path, data, content_type) == (200, "7")


@pytest.mark.parametrize(
    ("path", "data", "content_type", "status"),
    [
        ("/json", b"number=7", "application/x-www-form-urlencoded", 415),
        ("/json", b'{"number": 7}', "text/plain", 415),
        ("/either", b"7", "text/plain", 415),
        ("/json", b'{"number": -7}', "application/json", 400),
        ("/json", b'{"number": "7"}', "application/json", 400),
        ("/json", b"{", "application/json", 400),
        ("/json", b"\xff", "application/json", 400),
        ("/json", b'{"number": "\xff"}', "application/json", 400),
        ("/json", b'{"a":' * 100_000, "application/json", 400),
        ("/either", b"number=-7", "application/x-www-form-urlencoded", 400),
        ("/either", b"", "application/x-www-form-urlencoded", 400),
        ("/either", MULTIPART, "multipart/form-data", 400),
        ("/either", MULTIPART[:20], "multipart/form-data; boundary=b", 400),
        ("/json", MULTIPART, "multipart/form-data; boundary=b", 415),
    ],
)
async def test_the_rest_is_refused(
    app: Quart, path: str, data: bytes, content_type: str, status: int
) -> None:
    assert (await _post(app, path, data, content_type))[0] == status


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'{"number": -7}', "number should be a whole number of 0 or more."),
        (b"{}", "The field number is missing."),
        (b"[7]", "The body should be an object."),
        (b'{"number": "7", "deep": ' + b"[" * 100_000, "The body is nested too deeply."),
    ],
)
async def test_what_is_wrong_is_told_plainly(app: Quart, data: bytes, told: str) -> None:
    _, text = await _post(app, "/json", data, "application/json")
    assert msgspec.json.decode(text, type=problems.Problem).detail == told
