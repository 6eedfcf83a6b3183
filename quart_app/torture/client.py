"""The least of an HTTP/1.1 client: one connection, one request at a time, timed, never retried.

Not a general one: it reads answers that carry a Content-Length, as the app's and the peers' do.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


class NoAnswer(Exception):  # noqa: N818 - what happened, not what went wrong in here
    """The connection ended before the answer did."""


class NotListening(NoAnswer):
    """Nobody took the connection, so no request was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Client:
    """One connection to 127.0.0.1:*port*, opened when needed and kept while the server keeps it."""

    def __init__(self, port: int, *, keep: bool = True) -> None:
        self._port = port
        self._keep = keep
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up at once, also in the middle of a request."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def get(self, path: str) -> Answer:
        """Ask for *path*. Raises NoAnswer."""
        return await self.send("GET", path)

    async def send(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """Send a request and wait for all of the answer. Raises NoAnswer; cancelled, it hangs up."""
        reader, writer = await self._connected()
        try:
            said = headers or {}
            if not self._keep:
                said = {**said, "Connection": "close"}
            writer.write(_request(method, path, said, body))
            answer = await _read(reader)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            raise NoAnswer(type(error).__name__) from error
        except BaseException:
            self.close()
            raise
        if not self._keep or answer.headers.get("connection", "").lower() == "close":
            self.close()
        return answer

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is not None and self._streams[0].at_eof():
            self.close()  # the server ended it while nothing was asked
        if self._streams is None:
            try:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError as error:
                raise NotListening(type(error).__name__) from error
        return self._streams


async def once(
    port: int,
    path: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> Answer:
    """Send one request on a connection of its own. Raises NoAnswer."""
    async with Client(port, keep=False) as client:
        return await client.send(method, path, headers=headers, body=body)


async def until(port: int, path: str, status: int, *, timeout: float) -> bool:
    """Ask for *path* until it answers with *status*; False if it does not within *timeout*."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            while True:
                with contextlib.suppress(NoAnswer):
                    if (await once(port, path)).status == status:
                        return True
                await asyncio.sleep(0.02)
    return False


def _request(method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body or method != "GET":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _read(reader: asyncio.StreamReader) -> Answer:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = [line.partition(":") for line in lines if line]
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Answer(status=int(first.split(" ", 2)[1]), headers=headers, body=body)
