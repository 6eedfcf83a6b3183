"""A MySQL server that does as it is told, for what no real server can be made to do on demand.

It greets, lets everybody in, answers SELECT with values it knows and every other command with OK;
anything else is told to it by ``react``. It stores nothing. It listens in a virtual loop's memory
(``serve_in_memory``) or on a real port (``serve``).
"""

import asyncio
import re
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from pymysql.constants import COMMAND

from tests.support import wire
from tests.support.memory import MemoryTransport
from tests.support.virtual import VirtualLoop

_NAMES = {value: name for name, value in vars(COMMAND).items() if name.startswith("COM_")} | {
    0x1F: "COM_RESET_CONNECTION"
}

NEXT = b";\n"  # between statements that are sent together

FACTS: dict[str, wire.Value] = {
    "@@version": "9.7.0-scripted",
    "version()": "9.7.0-scripted",
    "@@server_uuid": "5c1f7e5e-0000-0000-0000-000000000001",
    "@@wait_timeout": 28800,
    "@@max_allowed_packet": 67108864,
    "@@read_only": 0,
    "@@super_read_only": 0,
    "@@innodb_read_only": 0,
    "@@hostname": "scripted",
    "@@port": 3306,
    "@@server_id": 1,
    "@@transaction_isolation": "REPEATABLE-READ",
    "@@autocommit": 1,
    "null": None,
    "(select count(*)": 0,  # as far as a SELECT is read here: whether the server is in a cluster
}


@dataclass(slots=True)
class Peer:
    """One connection, seen by the server."""

    server: "ScriptedServer"
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    thread_id: int
    sequence: int = 0
    in_transaction: bool = False
    commands: list[tuple[str, bytes]] = field(default_factory=list)
    login: bytes = b""
    # Of statements sent together: those that follow, and whether the last one was refused.
    rest: list[bytes] = field(default_factory=list)
    refused: bool = False
    queries: int = 0  # packets, however many statements were in each

    @property
    def status(self) -> int:
        """The status flags of this session."""
        return wire.AUTOCOMMIT | (wire.IN_TRANSACTION if self.in_transaction else 0)

    @property
    def gone(self) -> bool:
        """Whether the client left, or was hung up on."""
        return self.writer.transport.is_closing() or self.reader.at_eof()

    async def read(self) -> bytes:
        """Read one packet; the answer goes on with the next sequence number."""
        head = await self.reader.readexactly(4)
        self.sequence = head[3] + 1
        return await self.reader.readexactly(struct.unpack("<I", head[:3] + b"\0")[0])

    async def send(self, *payloads: bytes) -> None:
        """Send *payloads*, one packet each."""
        for number, payload in enumerate(payloads):
            self.refused = payload[:1] == b"\xff"
            told = wire.followed(payload, first=number == 0) if self.rest else payload
            self.writer.write(wire.packet(self.sequence, told))
            self.sequence += 1
        await self.writer.drain()

    async def send_raw(self, data: bytes) -> None:
        """Send exactly *data*."""
        self.writer.write(data)
        await self.writer.drain()

    def hang_up(self) -> None:
        """Close with FIN."""
        self.writer.close()

    def reset(self) -> None:
        """Close with RST."""
        transport = self.writer.transport
        if isinstance(transport, MemoryTransport):
            transport.reset()
            return
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(1, 13, linger)  # SOL_SOCKET, SO_LINGER
        transport.abort()


Reaction = Callable[[Peer], Awaitable[None]]


@dataclass(slots=True)
class _Rule:
    trigger: re.Pattern[str]
    reaction: Reaction
    times: int | None


class ScriptedServer:
    """A server with rules; the newest rule that matches wins."""

    def __init__(
        self, *, version: str = "9.7.0-scripted", plugin: str = "mysql_native_password"
    ) -> None:
        self.version = version
        self.plugin = plugin
        self.capabilities = wire.CAPABILITIES
        self.facts = dict(FACTS)
        self.peers: list[Peer] = []
        self._rules: list[_Rule] = []

    def react(self, trigger: str, reaction: Reaction, *, times: int | None = None) -> None:
        """Do *reaction* where *trigger*, a pattern, matches a statement's start or a COM_ name.

        The phases "GREETING" and "LOGIN" (after the client's first packet) can be named as well.
        """
        self._rules.append(_Rule(re.compile(trigger, re.IGNORECASE), reaction, times))

    @property
    def statements(self) -> list[str]:
        """Every statement received, over all connections, in each connection's order."""
        return [
            body.decode()
            for peer in self.peers
            for name, body in peer.commands
            if name == "COM_QUERY"
        ]

    @property
    def commands(self) -> list[str]:
        """The names of every command received."""
        return [name for peer in self.peers for name, _ in peer.commands]

    def serve_in_memory(self, address: tuple[str, int] = ("localhost", 3306)) -> None:
        """Listen in the running virtual loop."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.network.listen(address, self.handle)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[int]:
        """Listen on a free real port of 127.0.0.1; gives the port."""
        listener = await asyncio.start_server(self.handle, "127.0.0.1", 0)
        try:
            yield listener.sockets[0].getsockname()[1]
        finally:
            listener.close()
            for peer in self.peers:
                peer.writer.close()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        peer = Peer(self, reader, writer, thread_id=100 + len(self.peers))
        self.peers.append(peer)
        try:
            await self._welcome(peer)
            await self._obey(peer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left
        finally:
            writer.close()

    async def _welcome(self, peer: Peer) -> None:
        await self._do(peer, "GREETING", greet)
        peer.login = await peer.read()
        await self._do(peer, "LOGIN", accept)

    async def _obey(self, peer: Peer) -> None:
        while not peer.writer.transport.is_closing():
            body = await peer.read()
            name = _NAMES.get(body[0], hex(body[0]))
            if name == "COM_QUIT":
                peer.commands.append((name, body[1:]))
                return
            for part in self._parts(peer, name, body[1:]):
                peer.commands.append((name, part))
                await self._do(peer, _key(name, part), self._answer)

    def _parts(self, peer: Peer, name: str, body: bytes) -> Iterator[bytes]:
        """The statements of one command, as long as none is refused; as a real server goes on."""
        parts = body.split(NEXT) if name == "COM_QUERY" else [body]
        peer.queries += name == "COM_QUERY"
        for number, part in enumerate(parts, 1):
            peer.rest, peer.refused = parts[number:], False
            yield part
            if peer.refused or peer.gone:
                return

    async def _do(self, peer: Peer, key: str, otherwise: Reaction) -> None:
        for rule in reversed(self._rules):
            if rule.times != 0 and rule.trigger.match(key):
                rule.times = None if rule.times is None else rule.times - 1
                await rule.reaction(peer)
                return
        await otherwise(peer)

    async def _answer(self, peer: Peer) -> None:
        name, body = peer.commands[-1]
        sql = body.decode(errors="replace") if name == "COM_QUERY" else ""
        if sql.upper().startswith("SELECT"):
            await self._select(peer, sql)
            return
        verb = sql.upper().split(" ")[0]
        if verb in {"BEGIN", "START"}:
            peer.in_transaction = True
        ends = verb in {"COMMIT", "ROLLBACK"} and not sql.upper().startswith("ROLLBACK TO")
        if ends or name == "COM_RESET_CONNECTION":
            peer.in_transaction = False
        await peer.send(wire.ok(status=peer.status))

    async def _select(self, peer: Peer, sql: str) -> None:
        expressions = _split(re.split(r"\bFROM\b", sql[6:], flags=re.IGNORECASE)[0])
        row = tuple(self._value(peer, expression) for expression in expressions)
        columns = [
            (name, wire.kind_of(value)) for name, value in zip(expressions, row, strict=True)
        ]
        await peer.send(*wire.result(columns, [row], status=peer.status))

    def _value(self, peer: Peer, expression: str) -> wire.Value:
        key = re.split(r"\s+as\s+", expression.strip().lower())[0]
        key = re.sub(r"@@(global|session)\.", "@@", key)
        if key == "connection_id()":
            return peer.thread_id
        if key.isdigit():
            return int(key)
        return self.facts.get(key, "")


async def greet(peer: Peer) -> None:
    """Send the greeting."""
    server = peer.server
    await peer.send(
        wire.greeting(
            thread_id=peer.thread_id,
            version=server.version,
            plugin=server.plugin,
            capabilities=server.capabilities,
        )
    )


async def accept(peer: Peer) -> None:
    """Let the client in."""
    await peer.send(wire.ok(status=peer.status))


def answer(*payloads: bytes) -> Reaction:
    """React with *payloads*."""

    async def reaction(peer: Peer) -> None:
        await peer.send(*payloads)

    return reaction


def answer_rows(
    columns: tuple[str, ...], rows: list[tuple[wire.Value, ...]], *, status: int = wire.AUTOCOMMIT
) -> Reaction:
    """React with a result set."""
    first = rows[0] if rows else ("",) * len(columns)
    described = [(name, wire.kind_of(value)) for name, value in zip(columns, first, strict=True)]
    return answer(*wire.result(described, rows, status=status))


def refuse(code: int, sqlstate: str = "HY000", message: str = "scripted") -> Reaction:
    """React with an ERR packet."""
    return answer(wire.error(code, sqlstate, message))


async def hang_up(peer: Peer) -> None:
    """React with FIN: what was sent has been read, no answer comes."""
    peer.hang_up()


async def reset(peer: Peer) -> None:
    """React with RST."""
    peer.reset()


async def say_nothing(peer: Peer) -> None:
    """React not at all, for ever, until the client leaves."""
    await peer.reader.read()


def after(seconds: float, reaction: Reaction) -> Reaction:
    """React later."""

    async def later(peer: Peer) -> None:
        await asyncio.sleep(seconds)
        await reaction(peer)

    return later


def last_words(code: int, sqlstate: str = "HY000", message: str = "scripted") -> Reaction:
    """React as a server that had ended the session before: ERR with sequence 0, FIN."""

    async def reaction(peer: Peer) -> None:
        await say_last_words(peer, code, sqlstate, message)

    return reaction


async def say_last_words(
    peer: Peer, code: int, sqlstate: str = "HY000", message: str = "scripted"
) -> None:
    """End the session of *peer* unasked: ERR with sequence 0, then FIN."""
    await peer.send_raw(wire.packet(0, wire.error(code, sqlstate, message)))
    peer.hang_up()


def _key(name: str, body: bytes) -> str:
    return body.decode(errors="replace").lstrip() if name == "COM_QUERY" else name


def _split(expressions: str) -> list[str]:
    parts, depth = [""], 0
    for character in expressions:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]
