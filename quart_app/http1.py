"""The short way of a plain GET through Hypercorn's HTTP/1: read by one pattern, answered in one write.

Hypercorn and h11 take 105 us for such a request and its answer, and write head and body apart; this
takes 35. A request that came whole, in one piece, with nothing special in it, is not shown to h11 at
first. Should anything else happen than one complete answer of known length (more data, a stream, the
end of the connection), h11 is given the request after all, and everything goes on as in Hypercorn;
until then nothing has been written. tests/unit/http/test_http1.py compares both, byte by byte.

On either way the status has its words, which Hypercorn leaves out. HTTP/1.1 allows that, but not every
client's parser tells of a status without words: h2load 1.52 counts each such answer as a failure.
"""

import asyncio
import re
from http import HTTPStatus
from time import time
from typing import Any, NamedTuple
from urllib.parse import unquote

import h11
from hypercorn.asyncio.task_group import _handle
from hypercorn.asyncio.worker_context import EventWrapper
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import StreamClosed
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol
from hypercorn.protocol.http_stream import ASGIHTTPState, HTTPStream
from hypercorn.typing import (
    ASGIReceiveEvent,
    ASGISendEvent,
    H11SendableEvent,
    HTTPResponseStartEvent,
)
from hypercorn.utils import build_and_validate_headers

from quart_app.flag import Flag

Pairs = list[tuple[bytes, bytes]]

# Stricter than h11 in all of it: what does not match is h11's matter.
_NAME = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+"
_VALUE = rb"[!-~](?:[ -~]*[!-~])?"
_FIELD = re.compile(rb"(%s): ?(%s)\r\n" % (_NAME, _VALUE))
_REQUEST = re.compile(rb"GET (/[!-~]*) HTTP/1\.1\r\n((?:%s: ?%s\r\n)+)\r\n" % (_NAME, _VALUE))
_ANSWER = re.compile(rb"(?:%s: %s\r\n)+" % (_NAME, _VALUE))
MAX_SIZE = 8192
# Bodies, upgrades, and waiting for 100.
_NOT_PLAIN = frozenset((b"content-length", b"transfer-encoding", b"upgrade", b"expect"))
# h11 has a say in these: it frames by the first two, and writes the third first.
_OF_H11 = frozenset((b"connection", b"transfer-encoding", b"host"))
REASONS = {int(status): status.phrase.encode() for status in HTTPStatus}
_WITH_BODY = range(200, 600)
_WITHOUT_BODY = frozenset((204, 304))


class Plain(NamedTuple):
    """A request as it was sent, *whole*, and what it says."""

    whole: bytes
    target: bytes
    headers: Pairs


def read(data: bytes) -> Plain | None:
    """Read a request that is whole and plain; None if it may be anything else."""
    match = _REQUEST.fullmatch(data) if len(data) <= MAX_SIZE else None
    if match is None:
        return None
    headers = [(name.lower(), value) for name, value in _FIELD.findall(match[2])]
    names = [name for name, _ in headers]
    if not _NOT_PLAIN.isdisjoint(names) or names.count(b"host") != 1:
        return None
    if any(name == b"connection" and value.lower() != b"keep-alive" for name, value in headers):
        return None
    return Plain(data, match[1], headers)


def write(status: int, headers: Pairs, body: bytes) -> bytes | None:
    """Write a whole answer; None if it needs framing, or has what h11 might refuse."""
    if status not in _WITH_BODY or status in _WITHOUT_BODY:
        return None
    lengths = [value for name, value in headers if name.lower() == b"content-length"]
    if lengths != [b"%d" % len(body)] or any(name.lower() in _OF_H11 for name, _ in headers):
        return None
    block = b"".join([b"%s: %s\r\n" % pair for pair in headers])
    # As many lines as headers: a line break within a value would make one more.
    if _ANSWER.fullmatch(block) is None or block.count(b"\n") != len(headers):
        return None
    return b"HTTP/1.1 %d %s\r\n%s\r\n%s" % (status, REASONS.get(status, b""), block, body)


class Mailbox:
    """What an app receives, one task at a time: of a plain request its end, and its client's."""

    __slots__ = ("_arrival", "_messages")

    def __init__(self, *messages: ASGIReceiveEvent) -> None:
        self._messages = list(messages)
        self._arrival: asyncio.Future[None] | None = None

    async def put(self, message: ASGIReceiveEvent) -> None:
        """Deliver *message*; waits for nothing."""
        self._messages.append(message)
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    async def get(self) -> ASGIReceiveEvent:
        """Wait for the next message. Cancelled, it takes none."""
        while not self._messages:
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival
        return self._messages.pop(0)


class ShortStream(HTTPStream):
    """A plain request: holds the head of its answer until the body is there."""

    protocol: "ShortH11Protocol"
    _held: HTTPResponseStartEvent | None = None

    def begin(self, plain: Plain, state: dict[str, Any]) -> None:
        """Have the app handle it, in a task of the connection's; as Hypercorn, but for its queue."""
        path, _, query = plain.target.partition(b"?")
        self.start_time = time()
        self.scope = {
            "type": "http",
            "http_version": "1.1",
            "asgi": {"spec_version": "2.1", "version": "3.0"},
            "method": "GET",
            "scheme": self.scheme,
            "path": unquote(path.decode("ascii")),
            "raw_path": path,
            "query_string": query,
            "root_path": self.config.root_path,
            "headers": plain.headers,
            "client": self.client,
            "server": self.server,
            "state": state.copy(),  # type: ignore[typeddict-item] # as Hypercorn
            "extensions": {},
        }
        mailbox = Mailbox({"type": "http.request", "body": b"", "more_body": False})
        self.app_put = mailbox.put
        # The last two are for WSGI.
        handling = (self.app, self.config, self.scope, mailbox.get, self.app_send, None, None)
        self.task_group.spawn(_handle, *handling)

    async def app_send(self, message: ASGISendEvent | None) -> None:
        """Take what the app answers."""
        if not self.closed and self.protocol.is_short(self):
            if self._hold(message):
                return
            answer = self._whole(message)
            if answer is not None:
                await self._answer(answer)
                return
            self.protocol.take_the_long_way()
        held, self._held = self._held, None
        if held is not None:
            await super().app_send(held)
        await super().app_send(message)

    def _hold(self, message: ASGISendEvent | None) -> bool:
        """Keep the head of an answer of known length; others are on their way before the body."""
        if message is None or message["type"] != "http.response.start" or self._held is not None:
            return False
        if not any(bytes(name).lower() == b"content-length" for name, _ in message["headers"]):
            return False
        self._held = message
        return True

    def _whole(self, message: ASGISendEvent | None) -> bytes | None:
        start = self._held
        if start is None or message is None or message["type"] != "http.response.body":
            return None
        if message.get("more_body", False) or start.get("trailers", False):
            return None
        if self.protocol.keep_alive_requests >= self.config.keep_alive_max_requests:
            return None  # the last one here: it says so
        headers = build_and_validate_headers(start["headers"])
        headers += self.config.response_headers("h11")
        return write(int(start["status"]), headers, bytes(message.get("body", b"")))

    async def _answer(self, answer: bytes) -> None:
        assert self._held is not None
        self.response, self._held = self._held, None
        await self.protocol.answer(answer)
        self.state = ASGIHTTPState.CLOSED
        await self.config.log.access(self.scope, self.response, time() - self.start_time)
        await self.send(StreamClosed(stream_id=self.stream_id))


class Signal(EventWrapper):
    """Hypercorn's event, on a Flag."""

    def __init__(self) -> None:
        self._event = Flag()  # type: ignore[assignment] # does as well


class ShortH11Protocol(H11Protocol):
    """Hypercorn's HTTP/1.1, with the short way beside it.

    REST       h11 is idle           -> SHORT by a plain request; LONG by anything else
    SHORT      h11 knows of nothing  -> ANSWERING by a whole answer; LONG by anything else
    ANSWERING  what comes waits      -> REST
    LONG       Hypercorn's way       -> REST, or the end of the connection
    """

    _plain: Plain | None = None  # SHORT
    _answering = False

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._connection: Any = None  # most connections never need h11
        self.can_read = Signal()

    @property
    def connection(self) -> Any:
        """H11's side of it, made when it is asked for."""
        if self._connection is None:
            size = self.config.h11_max_incomplete_size
            self._connection = h11.Connection(h11.SERVER, max_incomplete_event_size=size)
        return self._connection

    @connection.setter
    def connection(self, connection: Any) -> None:
        self._connection = connection

    async def handle(self, event: Event) -> None:
        """Take what the client sent."""
        if self._plain is not None:
            self.take_the_long_way()
        if isinstance(event, RawData):
            if self._answering:
                await self.can_read.wait()
            plain = read(event.data) if self._is_at_rest() else None
            if plain is not None:
                await self._begin(plain)
                return
        await super().handle(event)

    def is_short(self, stream: HTTPStream) -> bool:
        """Whether h11 does not know the request of *stream*."""
        return self._plain is not None and self.stream is stream

    def take_the_long_way(self) -> None:
        """Show h11 the request; its answer is Hypercorn's matter."""
        assert self._plain is not None
        self.connection.receive_data(self._plain.whole)
        self._plain = None
        for kind in (h11.Request, h11.EndOfMessage):
            assert isinstance(self.connection.next_event(), kind)

    async def answer(self, answer: bytes) -> None:
        """Write the whole answer. Waits as long as the client does not read."""
        self._plain, self._answering = None, True
        await self.can_read.clear()
        await self.send(RawData(answer))

    async def _send_h11_event(self, event: H11SendableEvent) -> None:
        if isinstance(event, h11.Response | h11.InformationalResponse):
            # Frozen, but nobody else has it; a second one would check all headers again.
            object.__setattr__(event, "reason", REASONS.get(event.status_code, b""))
        await super()._send_h11_event(event)

    def _is_at_rest(self) -> bool:
        connection, config = self._connection, self.config
        if self.stream is not None or config.server_names or config.h11_pass_raw_headers:
            return False
        return connection is None or (
            connection.our_state is h11.IDLE
            and connection.their_state is h11.IDLE
            and not connection.trailing_data[0]
        )

    async def _begin(self, plain: Plain) -> None:
        """As Hypercorn does for the two events that h11 would make of it."""
        self._plain = plain
        await self.send(Updated(idle=False))
        self.stream = stream = ShortStream(
            self.app,
            self.config,
            self.context,
            self.task_group,
            self.ssl,
            self.client,
            self.server,
            self.stream_send,
            STREAM_ID,
        )
        stream.protocol = self
        stream.begin(plain, self.connection_state)
        self.keep_alive_requests += 1
        await self.context.mark_request()

    async def _maybe_recycle(self) -> None:
        if not self._answering:
            await super()._maybe_recycle()
            return
        self._answering = False
        await self._close_stream()
        await self.can_read.set()
        await self.send(Closed() if self.context.terminated.is_set() else Updated(idle=True))
