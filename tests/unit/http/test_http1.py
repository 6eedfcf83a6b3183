"""The short way gives what the long way gives: both are driven with the same, and compared."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import h11
import pytest
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.utils import wrap_app
from hypothesis import example, given
from hypothesis import strategies as st

from quart_app import http1, protocols
from tests.support import virtual

HOST = b"Host: x\r\n"
PLAIN = b"GET /whole?a=%20b HTTP/1.1\r\nHost: x\r\nAccept: a, b\r\n\r\n"
LENGTH = (b"content-length", b"5")
BODY = {"type": "http.response.body", "body": b"hello"}
# Long after every answer; long before an idle connection ends.
PAUSE = 2.0
KEEP_ALIVE = 75.0


def _start(*headers: tuple[bytes, bytes], status: int = 200) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


# What the app sends for a path; a number is a pause, an exception is raised. No pause is between
# head and body of known length: the short way sends them together, which ASGI allows.
ANSWERS: dict[str, list[Any]] = {
    "/whole": [_start(LENGTH), BODY],
    "/slow": [0.5, _start(LENGTH, (b"x-a", b"b c")), BODY, 0.5],
    "/empty": [_start((b"content-length", b"0")), {"type": "http.response.body"}],
    "/pieces": [
        _start(LENGTH),
        {**BODY, "body": b"he", "more_body": True},
        0.5,
        {"type": BODY["type"], "body": b"llo"},
    ],
    "/stream": [_start(), 0.5, {**BODY, "more_body": True}, BODY],
    "/short": [_start((b"content-length", b"6")), BODY],
    "/long": [_start((b"content-length", b"4")), BODY],
    "/twice": [_start(LENGTH, LENGTH), BODY],
    "/close": [_start(LENGTH, (b"Connection", b"close")), BODY],
    "/chunked": [_start(LENGTH, (b"transfer-encoding", b"chunked")), BODY],
    "/split": [_start(LENGTH, (b"x-a", b"a\r\nx-b: c")), BODY],
    "/bad": [_start(LENGTH, (b"x a", b"b")), BODY],
    "/blank": [_start(LENGTH, (b"x-a", b"")), BODY],
    "/none": [_start((b"content-length", b"0"), status=204), {"type": "http.response.body"}],
    "/headless": [BODY],
    "/again": [_start(LENGTH), _start(LENGTH), BODY],
    "/more": [_start(LENGTH), BODY, BODY],
    "/nothing": [],
    "/fails": [ValueError()],
    "/breaks": [0.5, _start(LENGTH), ValueError()],
}
KINDS = [b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode() for path in ANSWERS] + [
    PLAIN,
    b"GET /whole HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
    b"GET /whole HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"GET /whole HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n",
    b"GET /whole HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"GET /whole HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    b"GET /whole HTTP/1.1\r\nHost: x\r\nX-A:\r\nX-B: \t c \r\n\r\n",
    b"GET /whole HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    b"GET /whole HTTP/1.1\r\n\r\n",
    b"GET /whole HTTP/1.0\r\nHost: x\r\n\r\n",
    b"GET /whole\r\n\r\n",
    b"GET http://x/whole HTTP/1.1\r\nHost: x\r\n\r\n",
    b"HEAD /whole HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /whole HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    PLAIN + PLAIN,
    PLAIN[:20],
    PLAIN[20:],
    b"\r\n",
    b"GET /" + b"a" * http1.MAX_SIZE + b" HTTP/1.1\r\nHost: x\r\n\r\n",
]


class App:
    """Does what ANSWERS says; notes what it is asked, and when its client leaves."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        seen = [scope]
        self.seen.append(seen)
        while True:
            seen.append(await receive())
            if not seen[-1].get("more_body"):
                break
        leaving = asyncio.create_task(self._until_left(receive, seen))
        try:
            for step in ANSWERS.get(scope["path"], []):
                await self._do(step, send)
        finally:
            leaving.cancel()

    async def _until_left(self, receive: Any, seen: list[Any]) -> None:
        seen.append((await receive(), asyncio.get_running_loop().time()))

    async def _do(self, step: Any, send: Any) -> None:
        if isinstance(step, Exception):
            raise step
        if isinstance(step, float):
            await asyncio.sleep(step)
        else:
            await send(step)


class Writer:
    """Keeps what is written; may break. Its own transport, that cannot close one half alone."""

    def __init__(self, reader: asyncio.StreamReader, *, breaks: bool) -> None:
        self.transport = self
        self.reader = reader
        self.breaks = breaks
        self.written = bytearray()
        self.closed: float | None = None

    def get_extra_info(self, name: str) -> Any:
        return _Socket() if name == "socket" else None

    def write(self, data: bytes) -> None:
        if self.breaks:
            raise ConnectionResetError
        self.written += data

    async def drain(self) -> None:
        pass

    def write_eof(self) -> None:
        pass

    def close(self) -> None:
        if self.closed is None:
            self.closed = asyncio.get_running_loop().time()
            self.reader.feed_eof()

    async def wait_closed(self) -> None:
        pass

    def is_closing(self) -> bool:
        return self.closed is not None

    def can_write_eof(self) -> bool:
        return False


class SlowWriter(Writer):
    """Of a client that takes a while to read."""

    async def drain(self) -> None:
        await asyncio.sleep(0.25)


class _Socket:
    family = 2

    def getpeername(self) -> tuple[str, int]:
        return ("127.0.0.1", 1)

    getsockname = getpeername


def _config() -> Config:
    config = Config()
    config.errorlog = config.accesslog = None
    config.include_date_header = False
    config.keep_alive_timeout = KEEP_ALIVE
    return config


async def _converse(
    sent: Sequence[tuple[bytes, float]], *, breaks: bool, most: int, ends: bool
) -> tuple[Any, ...]:
    """Send each piece and wait; hang up, or have the server end. All that is to be seen of it."""
    loop, config, context, app = asyncio.get_running_loop(), _config(), WorkerContext(None), App()
    config.keep_alive_max_requests = most
    reader = asyncio.StreamReader()
    writer = Writer(reader, breaks=breaks)
    wrapped: Any = wrap_app(app, 0, "asgi")
    server: Any = protocols.MendedTCPServer(
        wrapped,
        loop,
        config,
        context,
        {},
        reader,
        writer,  # type: ignore[arg-type] # fakes
    )
    serving = asyncio.create_task(server.run())
    for data, pause in sent:
        if writer.closed is None:
            reader.feed_data(data)
        await asyncio.sleep(pause)
    if ends:
        await context.terminated.set()
    elif writer.closed is None:
        reader.feed_eof()
    # Of what h11 refuses to send Hypercorn makes an error, and leaves the connection as it is.
    await asyncio.wait([serving], timeout=3 * KEEP_ALIVE)
    serving.cancel()
    with contextlib.suppress(Exception, asyncio.CancelledError):
        await serving
    return bytes(writer.written), writer.closed, app.seen, loop.time()


@pytest.fixture(name="_mended", autouse=True)
def _mended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hypercorn.protocol.H11Protocol", protocols.MendedH11Protocol)


@given(
    sent=st.lists(
        st.tuples(st.sampled_from(KINDS), st.sampled_from([0.0, 0.25, PAUSE])), max_size=5
    ),
    breaks=st.booleans(),
    most=st.sampled_from([1, 2, 100]),
    ends=st.booleans(),
)
@example(sent=[(PLAIN, PAUSE), (PLAIN, PAUSE)], breaks=False, most=100, ends=False)
@example(sent=[(PLAIN, 0.0), (PLAIN, 0.0), (PLAIN, PAUSE)], breaks=False, most=100, ends=True)
def test_short_way_says_and_does_what_the_long_one_does(
    sent: list[tuple[bytes, float]], breaks: bool, most: int, ends: bool
) -> None:
    def converse() -> tuple[Any, ...]:
        return virtual.run(_converse(sent, breaks=breaks, most=most, ends=ends))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocols, "pick", lambda _: "its-id")  # of an answer to what is no request
        short = converse()
        patch.setattr(http1, "read", lambda _: None)
        assert converse() == short


@pytest.mark.parametrize(
    ("sent", "line"),
    [
        (PLAIN, b"HTTP/1.1 200 OK\r\n"),
        (PLAIN.replace(b"whole", b"stream"), b"HTTP/1.1 200 OK\r\n"),
        (PLAIN.replace(b"Accept:", b"Accept"), b"HTTP/1.1 400 Bad Request\r\n"),
        (PLAIN.replace(b"whole", b"fails"), b"HTTP/1.1 500 Internal Server Error\r\n"),
        (
            b"POST /whole HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n",
        ),
    ],
)
async def test_status_has_its_words(sent: bytes, line: bytes) -> None:
    written, *_ = await _converse([(sent, PAUSE)], breaks=False, most=100, ends=False)
    assert written.startswith(line)


@given(
    data=st.one_of(
        st.sampled_from(KINDS),
        st.builds(
            lambda target, lines: (
                b"GET /%s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (target, b"".join(lines))
            ),
            st.binary(max_size=3),
            st.lists(st.binary(max_size=8).map(lambda line: b"a%s\r\n" % line), max_size=3),
        ),
        st.binary(max_size=60).map(lambda head: b"GET / HTTP/1.1\r\nHost: x\r\na: b" + head),
    )
)
@example(data=PLAIN)
@example(data=PLAIN.replace(b"\r\n", b"\n"))
def test_what_is_read_is_what_h11_reads(data: bytes) -> None:
    plain = http1.read(data)
    if plain is None:
        return
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    request = connection.next_event()
    assert isinstance(request, h11.Request)
    assert (request.method, request.target, request.http_version) == (b"GET", plain.target, b"1.1")
    assert list(request.headers) == plain.headers
    assert isinstance(connection.next_event(), h11.EndOfMessage)
    assert connection.next_event() is h11.NEED_DATA


def test_what_most_clients_send_is_read() -> None:
    lines = [
        b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        b"Accept-Encoding: gzip, deflate, br, zstd",
        b"Connection: keep-alive",
        b'If-None-Match: W/"1"',
    ]
    head = b"".join(line + b"\r\n" for line in [b"Host: localhost:8000", *lines])
    plain = http1.read(b"GET /cities?limit=3 HTTP/1.1\r\n" + head + b"\r\n")
    assert plain is not None
    assert plain.target == b"/cities?limit=3"
    assert len(plain.headers) == 1 + len(lines)


NAMES = st.one_of(
    st.sampled_from([b"x-a", b"Content-Length", b"Connection", b"Transfer-Encoding", b"Host"]),
    st.binary(min_size=1, max_size=4),
)


@given(
    status=st.sampled_from([200, 204, 304, 404, 503, 599]),
    headers=st.lists(st.tuples(NAMES, st.one_of(st.just(b"5"), st.binary(max_size=6))), max_size=3),
    length=st.sampled_from([b"5", b"05", b"4", b"5,5"]),
)
@example(status=200, headers=[(b"x-a", b"b c")], length=b"5")
def test_what_is_written_is_what_h11_writes(
    status: int, headers: list[tuple[bytes, bytes]], length: bytes
) -> None:
    headers = [*headers, (b"content-length", length)]
    answer = http1.write(status, headers, b"hello")
    if answer is None:
        return
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(PLAIN)
    connection.next_event()
    connection.next_event()
    events = [
        h11.Response(status_code=status, headers=headers, reason=http1.REASONS.get(status, b"")),
        h11.Data(data=b"hello"),
        h11.EndOfMessage(),
    ]
    assert answer == b"".join(connection.send(event) or b"" for event in events)
    assert connection.our_state is h11.DONE  # kept alive


def test_usual_answer_is_written_at_once() -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), LENGTH]
    answer = http1.write(200, headers, b"hello")
    assert answer == (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\n"
        b"content-length: 5\r\n\r\nhello"
    )


@pytest.mark.parametrize("status", [103, 204, 304, 600])
def test_answer_of_another_kind_is_left_to_h11(status: int) -> None:
    assert http1.write(status, [LENGTH], b"hello") is None


async def test_request_that_comes_while_an_answer_is_being_read_waits() -> None:
    app, reader = App(), asyncio.StreamReader()
    writer, loop = SlowWriter(reader, breaks=False), asyncio.get_running_loop()
    wrapped: Any = wrap_app(app, 0, "asgi")
    server = protocols.MendedTCPServer(
        wrapped,
        loop,
        _config(),
        WorkerContext(None),
        {},
        reader,
        writer,  # type: ignore[arg-type] # a fake
    )
    serving = asyncio.create_task(server.run())
    reader.feed_data(PLAIN)
    await asyncio.sleep(0.1)
    reader.feed_data(PLAIN)
    await asyncio.sleep(0.1)
    assert len(app.seen) == 1
    await asyncio.sleep(0.1)
    assert len(app.seen) == 2
    reader.feed_eof()
    await serving
    assert writer.written.count(b"hello") == 2


async def test_message_is_not_lost_with_who_stopped_waiting_for_it() -> None:
    mailbox = http1.Mailbox()
    gone = asyncio.create_task(mailbox.get())
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait([gone])
    await mailbox.put({"type": "http.disconnect"})
    assert await mailbox.get() == {"type": "http.disconnect"}


async def test_message_that_comes_is_handed_to_who_waits() -> None:
    mailbox = http1.Mailbox({"type": "http.request", "body": b"", "more_body": False})
    assert (await mailbox.get())["type"] == "http.request"
    waiting = asyncio.create_task(mailbox.get())
    await asyncio.sleep(1)
    assert not waiting.done()
    await mailbox.put({"type": "http.disconnect"})
    assert await waiting == {"type": "http.disconnect"}
