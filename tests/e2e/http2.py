"""An HTTP/2 client that reads on after GOAWAY, as the protocol wants.

httpx does not: it gives every stream of the connection up, those the server still answers too.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import h2.config
import h2.connection
import h2.errors
import h2.events

CHUNK_BYTES = 65536


@dataclass(slots=True, kw_only=True)
class Answer:
    """What came on one stream; *whole* once the server ended it, or *error* if it was reset."""

    status: int = 0
    body: bytes = b""
    whole: bool = False
    error: h2.errors.ErrorCodes | int | None = None


class Http2Client:
    """One connection by prior knowledge: `send` requests, then read `answers`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._streams: dict[int, Answer] = {}
        self.was_told_to_go_away = False

    @classmethod
    async def connect(cls, port: int) -> Self:
        """Connect to a server on this machine."""
        client = cls(*await asyncio.open_connection("127.0.0.1", port))
        client._h2.initiate_connection()
        return client

    async def send(self, *paths: str) -> None:
        """Send a GET for each, at once, on streams of their own; don't wait for the answers."""
        for path in paths:
            stream = self._h2.get_next_available_stream_id()
            headers = [
                (":method", "GET"),
                (":scheme", "http"),
                (":authority", "127.0.0.1"),
                (":path", path),
            ]
            self._h2.send_headers(stream, headers, end_stream=True)
            self._streams[stream] = Answer()
        await self._flush()

    async def answers(self) -> list[Answer]:
        """Read until every stream has ended, or the connection has; return them in order."""
        while not all(answer.whole for answer in self._streams.values()):
            data = await self._reader.read(CHUNK_BYTES)
            if not data:
                break
            for event in self._h2.receive_data(data):
                self._note(event)
            await self._flush()
        return list(self._streams.values())

    async def wait_for_end(self) -> None:
        """Read until the server hangs up."""
        while data := await self._reader.read(CHUNK_BYTES):
            for event in self._h2.receive_data(data):
                self._note(event)

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        await self._writer.wait_closed()

    async def _flush(self) -> None:
        self._writer.write(self._h2.data_to_send())
        await self._writer.drain()

    def _note(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived(stream_id=stream, headers=headers):
                self._streams[stream].status = _status(headers)
            case h2.events.DataReceived(stream_id=stream, data=data):
                self._streams[stream].body += data
                self._h2.acknowledge_received_data(event.flow_controlled_length, stream)
            case h2.events.StreamEnded(stream_id=stream):
                self._streams[stream].whole = True
            case h2.events.StreamReset(stream_id=stream, error_code=error):
                self._streams[stream].error = error
            case h2.events.ConnectionTerminated():
                self.was_told_to_go_away = True


def _status(headers: Iterable[tuple[str | bytes, str | bytes]]) -> int:
    return next(int(value) for name, value in headers if name == ":status")
