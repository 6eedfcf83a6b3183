"""Hypercorn's protocols, mended where a client could hold a connection for ever, or harm others.

Of Hypercorn 0.18; tests/e2e/test_rude_clients.py shows each. Connections without a request under way
end after ``keep_alive_timeout``, but the timer stayed stopped after

- HTTP/2's preface without a request, or a stream that was opened and reset by the client,
- a WebSocket handshake with something wrong in it. This app has no WebSockets: for HTTP/1.1 the
  wish is passed over, as RFC 9110 allows, and HTTP/2's CONNECT ends the connection.

It also went on after the client had hung up, on every version: with 75 s of it a hundred short-lived
connections a second held 7,500 sockets and three tasks each.

What its parser refused it answered without a body. It took Content-Length and Transfer-Encoding at once.

DATA that came after its request had been answered (401, say) ended the connection and the other
requests on it. So did, on HTTP/2, the request after the last of ``keep_alive_max_requests``. A
thousand streams opened and reset at once took the worker five seconds to put away, at a cost that
grows with their square: two hundred are allowed. What Hypercorn did not foresee, such as a path that
is not ASCII, filled the log with tracebacks: now it is one line.
"""

import asyncio
import logging
from functools import partial
from http import HTTPStatus
from typing import cast
from weakref import WeakKeyDictionary

import h11
import hypercorn.asyncio.run
import hypercorn.protocol
from h2.errors import ErrorCodes
from h2.events import RequestReceived
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import StreamClosed
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.typing import Event as Signal

from quart_app.farewell import PoliteTCPServer
from quart_app.http.problems import MEDIA_TYPE, of_no_request
from quart_app.http.request_id import pick
from quart_app.http1 import ShortH11Protocol
from quart_app.idle import IdleTimer

# A client may have as many streams under way as Hypercorn's limit says, and as many just reset.
RESET_FACTOR = 2
# When the process ends, a connection without a request gets this long to make one: it may be on its
# way, on a connection that was accepted, or kept, a moment ago.
LAST_WORDS = 0.1
# Both at once say where a body ends in two ways; a proxy in front may follow the other (RFC 9112, 6.3).
_FRAMINGS = {b"content-length", b"transfer-encoding"}
log = logging.getLogger("quart_app.server")


def mend() -> None:
    """Have Hypercorn use these in this process."""
    hypercorn.protocol.H11Protocol = MendedH11Protocol  # type: ignore[attr-defined,assignment] # no option for it
    hypercorn.protocol.H2Protocol = MendedH2Protocol  # type: ignore[attr-defined] # as above
    hypercorn.asyncio.run.TCPServer = MendedTCPServer  # type: ignore[attr-defined] # as above


class MendedTCPServer(PoliteTCPServer):
    """One connection; at the end it is not hung up on before it could say why it came."""

    async def run(self) -> None:
        """Serve it until it ends. What knew each other then lets go: no work for the collector."""
        self.idle_task = IdleTimer(self._patience, self._hang_up)  # type: ignore[assignment] # does as well
        try:
            await super().run()
        finally:
            for name in ("protocol", "idle_task"):
                self.__dict__.pop(name, None)

    async def _read_data(self) -> None:
        end = _end_of(self.context)
        end.tell(self._idle_timer)
        try:
            await super()._read_data()
        finally:
            end.forget(self._idle_timer)

    async def _close(self) -> None:
        self._idle_timer.close()
        await super()._close()

    @property
    def _idle_timer(self) -> IdleTimer:
        return cast("IdleTimer", self.idle_task)

    def _patience(self) -> float:
        patience = self.config.keep_alive_timeout
        return min(patience, LAST_WORDS) if self.context.terminated.is_set() else patience

    def _hang_up(self) -> None:
        self._task_group.spawn(self._initiate_server_close)


class _End:
    """Tells the connections of a worker that it ends: one task for all of them."""

    def __init__(self, context: WorkerContext) -> None:
        self._timers: set[IdleTimer] = set()
        self._watch = asyncio.create_task(self._tell(context.terminated), name="quart_app-end")

    def tell(self, timer: IdleTimer) -> None:
        """Have *timer* hurry when the end comes."""
        self._timers.add(timer)
        if self._watch.done():
            timer.hurry(LAST_WORDS)

    def forget(self, timer: IdleTimer) -> None:
        """Tell *timer* nothing any more."""
        self._timers.discard(timer)

    async def _tell(self, terminated: Signal) -> None:
        await terminated.wait()
        for timer in self._timers:
            timer.hurry(LAST_WORDS)


_ends: "WeakKeyDictionary[WorkerContext, _End]" = WeakKeyDictionary()


def _end_of(context: WorkerContext) -> _End:
    if context not in _ends:
        _ends[context] = _End(context)
    return _ends[context]


class UnwantedError(Exception):
    """The client does what no browser does: its connection ends."""


class MendedH11Protocol(ShortH11Protocol):
    """One HTTP/1.1 connection."""

    async def handle(self, event: Event) -> None:
        """Take what the client sent; when it hung up, wait for nothing more."""
        await super().handle(event)
        if isinstance(event, Closed):
            await _nobody_is_there(self)

    async def _create_stream(self, request: h11.Request) -> None:
        names = {name for name, _ in request.headers}
        if names >= _FRAMINGS:
            await self._refuse(HTTPStatus.BAD_REQUEST, with_body=request.method != b"HEAD")
            await self.send(Closed())
            return
        headers = [pair for pair in request.headers if pair[0] != b"upgrade"]
        if len(headers) < len(request.headers):
            request = h11.Request(
                method=request.method,
                headers=headers,
                target=request.target,
                http_version=request.http_version,
            )
        await super()._create_stream(request)

    async def _send_error_response(self, status_code: int) -> None:
        """Answer what cannot be parsed with a problem, as everything else is answered."""
        await self._refuse(status_code, with_body=True)

    async def _refuse(self, status_code: int, *, with_body: bool) -> None:
        request_id = pick(None)
        body = of_no_request(status_code, request_id=request_id)
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", request_id.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"connection", b"close"),
            *self.config.response_headers("h11"),
        ]
        await self._send_h11_event(h11.Response(status_code=status_code, headers=headers))
        if with_body:
            await self._send_h11_event(h11.Data(data=body))
        await self._send_h11_event(h11.EndOfMessage())


class MendedH2Protocol(H2Protocol):
    """One HTTP/2 connection."""

    async def initiate(
        self, headers: list[tuple[bytes, bytes]] | None = None, settings: bytes | None = None
    ) -> None:
        """Begin; without a request yet, the connection is idle."""
        self.streams = _Streams()
        self._requests = 0
        # Hypercorn resets only what comes when the process ends. That was not begun, and says so: the
        # client may send it elsewhere, whatever it is (RFC 9113, 8.7).
        refuse = partial(self.connection.reset_stream, error_code=ErrorCodes.REFUSED_STREAM)
        self.connection.reset_stream = refuse  # type: ignore[method-assign] # no option for it
        await super().initiate(headers, settings)
        if self.idle:
            await self.send(Updated(idle=True))

    async def handle(self, event: Event) -> None:
        """Take what the client sent; hang up on what cannot be taken."""
        had_streams, requests = bool(self.streams), self._requests
        try:
            await super().handle(event)
        except OSError:
            raise  # the client is gone: Hypercorn knows
        except Exception as exc:  # noqa: BLE001 # whatever it is, the connection ends, as without us
            reason = str(exc) if isinstance(exc, UnwantedError) else type(exc).__name__
            log.warning("hung up on an HTTP/2 client: %s", reason)
            await self.send(Closed())
            return
        if isinstance(event, Closed):
            await _nobody_is_there(self)
        worked = had_streams or self._requests != requests
        if worked and self.idle and isinstance(event, RawData):
            await self.send(Updated(idle=True))

    async def _create_stream(self, request: RequestReceived) -> None:
        if (b":method", b"CONNECT") in [tuple(pair) for pair in request.headers or ()]:
            raise UnwantedError("CONNECT")
        if len(self.stream_buffers) > RESET_FACTOR * self.config.h2_max_concurrent_streams:
            raise UnwantedError("streams opened and reset faster than they are put away")
        await super()._create_stream(request)
        self._requests, self.keep_alive_requests = self._requests + 1, 0

    async def stream_send(self, event: StreamEvent) -> None:
        """Send what a handler has; after ``keep_alive_max_requests``, and nothing else open, GOAWAY.

        Not earlier, as Hypercorn: what is under way could then not be answered any more.
        """
        await super().stream_send(event)
        enough = self._requests > self.config.keep_alive_max_requests
        if enough and isinstance(event, StreamClosed) and self.idle and not self.closed:
            self.connection.close_connection()
            await self._flush()
            await self.send(Closed())


async def _nobody_is_there(protocol: H11Protocol | H2Protocol) -> None:
    """Stop the timer of idle connections, for good: a request under way would start it again."""
    send = protocol.send

    async def send_but_not_idle(event: Event) -> None:
        if not (isinstance(event, Updated) and event.idle):
            await send(event)

    protocol.send = send_but_not_idle
    await send(Updated(idle=False))


class _Gone:
    """Stands where the stream of an answered request was: takes what still comes, does nothing."""

    idle = True

    async def handle(self, event: StreamEvent) -> None:
        """Do nothing."""


class _Streams(dict[int, HTTPStream | WSStream]):
    def __missing__(self, number: int) -> _Gone:
        return _Gone()
