"""The end of a connection: the client is heard out before its socket is closed.

The kernel resets a connection that is closed with something unread in it, or at which something
arrives later, and then the client loses what it has not read of its answers. An HTTP/2 client sends
such frames whenever it reads (SETTINGS, WINDOW_UPDATE, PING), one of HTTP/1.1 may still be sending a
body that was refused. So only our half is closed, and what comes then is thrown away.
"""

import asyncio
from typing import cast

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.events import Closed, Event

# A client that has been told that this is the end gets this long to go.
HEARING = 1.0


class PoliteTCPServer(TCPServer):
    """One connection."""

    _farewell: "Farewell | None" = None

    async def protocol_send(self, event: Event) -> None:
        """Send; at the end close our half, and wait for nothing: this may be a request's task."""
        if isinstance(event, Closed):
            self._say_farewell()
            await self.idle_task.stop()
        else:
            await super().protocol_send(event)

    async def _close(self) -> None:
        """Close, once the client has, or has been given the time to."""
        self._say_farewell()
        try:
            if self._farewell is not None:
                await self._farewell.ended.wait()
        finally:
            await super()._close()

    def _say_farewell(self) -> None:
        """Have nobody read on; a client that is gone, or speaks TLS, is not waited for."""
        transport = cast("asyncio.Transport", self.writer.transport)
        if self._farewell is not None or transport.is_closing():
            return
        if self.reader.at_eof() or not transport.can_write_eof():
            transport.close()
            return
        self._farewell = Farewell(cast("asyncio.Protocol", transport.get_protocol()))
        transport.set_protocol(self._farewell)
        self.reader.feed_eof()
        transport.write_eof()
        transport.resume_reading()
        self.loop.call_later(HEARING, transport.close)


class Farewell(asyncio.Protocol):
    """Stands where the protocol *before* was: throws away what comes, until the client's end."""

    def __init__(self, before: asyncio.Protocol) -> None:
        self._before = before
        self.ended = asyncio.Event()

    def pause_writing(self) -> None:
        """Pass it on: the last answer may be a long one."""
        self._before.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self._before.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass it on: the writer waits for it."""
        self._before.connection_lost(exc)
        self.ended.set()
