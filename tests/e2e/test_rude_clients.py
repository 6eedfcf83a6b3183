"""Clients that are slow, endless or wrong: each is answered or cut off, and nobody else notices."""

import asyncio
import contextlib
import errno
import hashlib
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import h2.config
import h2.connection
import httpx
import pytest
from hypercorn.config import Config

from quart_app import server
from tests.e2e.http2 import Http2Client
from tests.e2e.program import PATIENCE, Program

MANY = 30
DRIP = 0.1
HEADER_TIME = 2.0
REQUESTS_PER_CONNECTION = 20
BODY_TIME = 1.0
SETTINGS = {
    "QUART_APP_PROBE_TIMEOUT": "0.5",
    "QUART_APP_CONNECT_TIMEOUT": "1",
    "QUART_APP_ACQUIRE_TIMEOUT": "1.5",
    "QUART_APP_REQUEST_TIMEOUT": str(BODY_TIME * 2),
    "QUART_APP_TOKENS": "students:" + hashlib.sha256(b"token").hexdigest(),
}
POST = (
    b"POST /students/1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer token\r\n"
    b"Content-Type: application/json\r\n"
)
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(name="program", scope="module")
def _program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The program without a database: nothing here gets as far."""
    folder = tmp_path_factory.mktemp("program")
    limits = {"keep_alive_timeout": HEADER_TIME, "keep_alive_max_requests": REQUESTS_PER_CONNECTION}
    lines = [f"{name} = {value}\n" for name, value in limits.items()]
    (folder / "hypercorn.toml").write_text("".join(lines))
    settings = {**SETTINGS, "DATABASE_URL": "mysql://me@127.0.0.1:1/none"}
    with Program(folder, settings=settings, cwd=folder) as program:
        yield program
    assert "Traceback" not in program.log


@contextlib.asynccontextmanager
async def _connected(program: Program) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", program.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _drip(program: Program, head: bytes, drop: bytes) -> tuple[bytes, float]:
    """Send *head*, then *drop* again and again until hung up on; the answer, and when it ended."""
    began = time.monotonic()
    async with _connected(program) as (reader, writer):
        answer = asyncio.create_task(reader.read())
        writer.write(head)
        while not answer.done():
            await asyncio.sleep(DRIP)
            writer.write(drop)
            assert time.monotonic() - began < PATIENCE, "it was never hung up on"
        with contextlib.suppress(ConnectionError):
            return await answer, time.monotonic() - began
    return b"", time.monotonic() - began


async def _while_others_are_served(program: Program, attack: Awaitable[None]) -> None:
    """Run *attack*; meanwhile every request of others is answered soon."""
    async with httpx.AsyncClient(base_url=program.url) as others:
        under_attack = asyncio.ensure_future(attack)
        while not under_attack.done():
            began = time.monotonic()
            assert (await others.get("/health/live")).status_code == httpx.codes.OK
            assert time.monotonic() - began < BODY_TIME
            await asyncio.sleep(DRIP)
        await under_attack


async def test_slow_header_is_cut_off(program: Program) -> None:
    async def attack() -> None:
        head = b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "
        ends = await asyncio.gather(*(_drip(program, head, b"x") for _ in range(MANY)))
        assert {answer for answer, _ in ends} == {b""}
        assert min(seconds for _, seconds in ends) >= HEADER_TIME * 0.9

    await _while_others_are_served(program, attack())


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"Content-Length: 10000\r\n\r\n", b" "),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ],
    ids=["announced", "chunked"],
)
async def test_slow_body_is_answered_408_and_cut_off(
    program: Program, head: bytes, drop: bytes
) -> None:
    async def attack() -> None:
        ends = await asyncio.gather(*(_drip(program, POST + head, drop) for _ in range(MANY)))
        assert all(answer.startswith(b"HTTP/1.1 408 ") for answer, _ in ends), ends[0]
        assert all(b"application/problem+json" in answer for answer, _ in ends)
        assert min(seconds for _, seconds in ends) >= BODY_TIME * 0.9

    await _while_others_are_served(program, attack())


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 65536, b"431"),
        (POST + b"Content-Length: 100000000\r\n\r\n", b"413"),
        (
            POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"8000\r\n" + b" " * 32768 + b"\r\n",
            b"408",
        ),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n", b"400"),
        (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", b"400"),
        (
            POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            b"GET /health/live HTTP/1.1\r\nHost: smuggled\r\n\r\n",
            b"400",
        ),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"nonsense\r\n\r\n", b"400"),
        (
            b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            b"404",
        ),
    ],
)
async def test_wrong_request_is_refused_and_cut_off(
    program: Program, request_bytes: bytes, status: bytes
) -> None:
    async with _connected(program) as (reader, writer):
        writer.write(request_bytes)
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split(b" ")[1] == status, answer
    assert b"Server:" not in head.title()
    assert b"application/problem+json" in head
    problem = json.loads(body)  # of one answer, and no second one
    assert problem["status"] == int(status)
    assert problem["request_id"].encode() in head


async def test_head_framed_in_two_ways_is_refused_without_a_body(program: Program) -> None:
    framings = b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    async with _connected(program) as (reader, writer):
        writer.write(b"HEAD / HTTP/1.1\r\nHost: x\r\n" + framings)
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b"\r\n\r\n")
    assert "Unhandled" not in program.log


async def test_endless_body_is_refused_and_cut_off(program: Program) -> None:
    chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
    async with _connected(program) as (reader, writer):
        answer = asyncio.create_task(reader.read())
        writer.write(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            while not answer.done():
                writer.write(chunk)
                await writer.drain()
                await asyncio.sleep(0)  # drain() need not: let the answer in
        assert (await answer).startswith(b"HTTP/1.1 413 ")


# -- HTTP/2 ----------------------------------------------------------------------------------------


def _h2() -> h2.connection.H2Connection:
    connection = h2.connection.H2Connection(
        h2.config.H2Configuration(
            header_encoding="utf-8",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
    )
    connection.initiate_connection()
    return connection


def _headers(method: str, path: str | None, *others: tuple[str, str]) -> list[tuple[str, str]]:
    paths = [] if path is None else [(":scheme", "http"), (":path", path)]
    return [(":method", method), (":authority", "x"), *paths, *others]


async def _statuses(reader: asyncio.StreamReader, client: h2.connection.H2Connection) -> set[int]:
    """Read until the server hangs up; the streams it answered."""
    answered = set()
    async with asyncio.timeout(PATIENCE):
        while data := await reader.read(65536):
            for event in client.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    answered.add(event.stream_id)
    return answered


async def test_http2_client_that_asks_nothing_is_cut_off(program: Program) -> None:
    client = _h2()
    client.send_headers(1, _headers("GET", "/", ("x-long", "x" * 1000)), end_stream=True)
    async with _connected(program) as (reader, writer):
        writer.write(client.data_to_send()[:-100])
        assert await _statuses(reader, client) == set()


async def test_body_that_comes_after_its_answer_harms_no_other_stream(program: Program) -> None:
    client = _h2()
    async with _connected(program) as (reader, writer):
        client.send_headers(1, _headers("POST", "/students/1", ("content-length", "20")))
        writer.write(client.data_to_send())
        await asyncio.sleep(DRIP)  # it is answered 401
        client.send_data(1, b" " * 20, end_stream=True)
        client.send_headers(3, _headers("GET", "/health/live"), end_stream=True)
        writer.write(client.data_to_send())
        assert await _statuses(reader, client) == {1, 3}


async def test_last_requests_of_a_connection_are_answered(program: Program) -> None:
    client = await Http2Client.connect(program.port)
    # At once: after the last one allowed, the connection ends as soon as none is under way.
    await client.send(*["/health/live"] * (REQUESTS_PER_CONNECTION * 2))
    answers = await client.answers()
    assert [answer.status for answer in answers] == [httpx.codes.OK] * len(answers)
    async with asyncio.timeout(PATIENCE):
        await client.wait_for_end()
    assert client.was_told_to_go_away
    await client.close()


def _connect(client: h2.connection.H2Connection) -> None:
    client.send_headers(1, _headers("CONNECT", None), end_stream=False)


def _connect_to_a_websocket(client: h2.connection.H2Connection) -> None:
    headers = _headers("CONNECT", "/", (":protocol", "websocket"))
    client.send_headers(1, headers, end_stream=False)


def _ask_for_a_strange_path(client: h2.connection.H2Connection) -> None:
    client.send_headers(1, _headers("GET", "/\u00e9"), end_stream=True)


def _open_and_reset(client: h2.connection.H2Connection) -> None:
    client.send_headers(1, _headers("GET", "/health/live"), end_stream=True)
    client.reset_stream(1)


def _open_and_reset_a_thousand(client: h2.connection.H2Connection) -> None:
    for stream in range(1, 2201, 2):
        client.send_headers(stream, _headers("GET", "/health/live"), end_stream=True)
        client.reset_stream(stream)


@pytest.mark.parametrize(
    "mischief",
    [
        _connect,
        _connect_to_a_websocket,
        _ask_for_a_strange_path,
        _open_and_reset,
        _open_and_reset_a_thousand,
    ],
)
async def test_http2_mischief_ends_its_connection_only(
    program: Program, mischief: Callable[[h2.connection.H2Connection], None]
) -> None:
    client = _h2()
    mischief(client)

    async def attack() -> None:
        async with _connected(program) as (reader, writer):
            writer.write(client.data_to_send())
            with contextlib.suppress(ConnectionError):
                await _statuses(reader, client)

    await _while_others_are_served(program, attack())


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the option is Linux's")
def test_client_that_does_not_read_is_given_up_by_the_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "READ_PATIENCE_MS", 500)
    config = Config()
    config.bind = ["127.0.0.1:0"]
    (number,) = server.bind(config)
    with socket.socket(fileno=number) as listener, socket.socket() as client:
        listener.setblocking(True)
        listener.listen()
        client.connect(listener.getsockname())
        worker, _ = listener.accept()
        with worker, pytest.raises(OSError) as caught:  # noqa: PT011 # its number is told below
            while True:
                worker.sendall(b"x" * 65536)
    assert caught.value.errno == errno.ETIMEDOUT
