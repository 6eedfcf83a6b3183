"""A scripted server that keeps two tables, with transactions and row locks: just enough to be wrong.

It knows the statements of a keyed POST and no others. What a client that vanished had not committed
is rolled back a little later, as a real server only then notices.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from pymysql.constants import FIELD_TYPE

from tests.support import wire
from tests.support.server import Peer, ScriptedServer

NOTICED_AFTER = 0.3
LOCK_POLL = 0.05
_HEX = re.compile(r"_binary X'([0-9a-f]*)'", re.IGNORECASE)
_STORE = re.compile(r"SET status = (\d+), content_type = '([^']*)'", re.IGNORECASE)


@dataclass
class Work:
    """What a session has done since BEGIN."""

    keys: dict[str, list[wire.Value]] = field(default_factory=dict)
    attempts: list[str] = field(default_factory=list)


class LedgerServer(ScriptedServer):
    """Tables idempotency_key and attempt. *faults* maps the number of a statement to a fault."""

    def __init__(self, faults: dict[int, str]) -> None:
        super().__init__()
        self.keys: dict[str, list[wire.Value]] = {}
        self.attempts: list[str] = []
        self.faults = faults
        self.count = 0
        self._open: dict[int, Work] = {}  # by thread id

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection; roll back what it leaves open."""
        await super().handle(reader, writer)
        peer = next(peer for peer in self.peers if peer.writer is writer)
        await asyncio.sleep(NOTICED_AFTER)
        await self._end(peer)

    async def _answer(self, peer: Peer) -> None:
        name, body = peer.commands[-1]
        sql = body.decode() if name == "COM_QUERY" else ""
        kind = _kind(sql)
        if kind is None:
            await super()._answer(peer)
            return
        self.count += 1
        fault = self.faults.pop(self.count, None)
        if fault is not None:
            await _FAULTS[fault](self, peer, sql, kind)
        else:
            await peer.send(*await self.execute(peer, sql, kind))

    async def execute(self, peer: Peer, sql: str, kind: str) -> list[bytes]:
        """Carry out *sql*, whose answer may or may not be sent."""
        answer: list[bytes] = await getattr(self, f"_{kind}")(peer, sql)
        return answer

    async def carry_out(self, peer: Peer, sql: str, kind: str) -> None:
        """Carry out *sql* and what was sent with it, though nobody will hear of it."""
        answer = await self.execute(peer, sql, kind)
        for part in map(bytes.decode, peer.rest):
            kind = _kind(part) or ""
            if not kind or answer[0][:1] == b"\xff":
                return
            answer = await self.execute(peer, part, kind)

    async def _begin(self, peer: Peer, _sql: str) -> list[bytes]:
        await self._end(peer)
        self._open[peer.thread_id] = Work()
        peer.in_transaction = True
        return [wire.ok(status=peer.status)]

    async def _commit(self, peer: Peer, _sql: str) -> list[bytes]:
        work = self._open.get(peer.thread_id, Work())
        self.keys.update(work.keys)
        self.attempts += work.attempts
        await self._end(peer)
        return [wire.ok(status=peer.status)]

    async def _rollback(self, peer: Peer, _sql: str) -> list[bytes]:
        await self._end(peer)
        return [wire.ok(status=peer.status)]

    async def _claim(self, peer: Peer, sql: str) -> list[bytes]:
        caller, key, owner, fingerprint = _HEX.findall(sql)
        key = caller + key
        while self._locked(peer, key):
            if peer.reader.at_eof():  # the client left; the pool has killed the statement
                raise ConnectionResetError
            await asyncio.sleep(LOCK_POLL)
        if key in self.keys or key in self._open[peer.thread_id].keys:
            return [wire.error(1062)]
        values: list[wire.Value] = [
            bytes.fromhex(owner),
            bytes.fromhex(fingerprint),
            None,
            None,
            None,
        ]
        self._open[peer.thread_id].keys[key] = values
        return [wire.ok(affected=1, status=peer.status)]

    async def _find(self, peer: Peer, sql: str) -> list[bytes]:
        row = self.keys.get("".join(_HEX.findall(sql)))
        columns = [wire.column("status", FIELD_TYPE.LONG), wire.column("content_type")]
        columns = [_binary("owner"), _binary("fingerprint"), *columns, _binary("body")]
        rows = [] if row is None else [b"".join(map(wire.text, row))]
        end = wire.eof(status=peer.status)
        return [wire.length_encoded(len(columns)), *columns, end, *rows, end]

    async def _attempt(self, peer: Peer, sql: str) -> list[bytes]:
        self._open[peer.thread_id].attempts += re.findall(r"'(\w+)'", sql)
        return [wire.ok(affected=1, insert_id=1, status=peer.status)]

    async def _store(self, peer: Peer, sql: str) -> list[bytes]:
        body, caller, key = _HEX.findall(sql)
        ((status, content_type),) = _STORE.findall(sql)
        self._open[peer.thread_id].keys[caller + key][2:] = [
            int(status),
            content_type,
            bytes.fromhex(body),
        ]
        return [wire.ok(affected=1, status=peer.status)]

    def _locked(self, peer: Peer, key: str) -> bool:
        return any(
            key in work.keys for number, work in self._open.items() if number != peer.thread_id
        )

    async def _end(self, peer: Peer) -> None:
        self._open.pop(peer.thread_id, None)
        peer.in_transaction = False


_KINDS = {
    "BEGIN": "begin",
    "COMMIT": "commit",
    "ROLLBACK": "rollback",
    "INSERT INTO idempotency_key": "claim",
    "SELECT owner": "find",
    "INSERT INTO attempt": "attempt",
    "UPDATE idempotency_key": "store",
}


def _kind(sql: str) -> str | None:
    return next((kind for start, kind in _KINDS.items() if sql.startswith(start)), None)


def _binary(name: str) -> bytes:
    return wire.column(name, FIELD_TYPE.BLOB).replace(b"\x0c\x2d\x00", b"\x0c\x3f\x00")


Fault = Callable[[LedgerServer, Peer, str, str], Awaitable[None]]


async def _lost_before(_server: LedgerServer, peer: Peer, _sql: str, _kind: str) -> None:
    peer.hang_up()


async def _lost_after(server: LedgerServer, peer: Peer, sql: str, kind: str) -> None:
    await server.carry_out(peer, sql, kind)
    peer.hang_up()


async def _killed_after(server: LedgerServer, peer: Peer, sql: str, kind: str) -> None:
    """What was sent with *sql* is not carried out any more."""
    await server.execute(peer, sql, kind)
    peer.hang_up()


async def _lost_long_before(server: LedgerServer, peer: Peer, sql: str, kind: str) -> None:
    """The client is cut off at once; the server gets to the statement only later."""
    peer.reset()
    await asyncio.sleep(0.2)
    await server.carry_out(peer, sql, kind)


async def _silent_before(_server: LedgerServer, peer: Peer, _sql: str, _kind: str) -> None:
    await peer.reader.read()


async def _silent_after(server: LedgerServer, peer: Peer, sql: str, kind: str) -> None:
    await server.carry_out(peer, sql, kind)
    await peer.reader.read()


async def _deadlock(server: LedgerServer, peer: Peer, _sql: str, _kind: str) -> None:
    await server._end(peer)
    await peer.send(wire.error(1213))


async def _lock_wait(_server: LedgerServer, peer: Peer, _sql: str, _kind: str) -> None:
    await peer.send(wire.error(1205))


async def _read_only(_server: LedgerServer, peer: Peer, _sql: str, _kind: str) -> None:
    await peer.send(wire.error(1290, "HY000", "running with the --read-only option"))


async def _idle_too_long(_server: LedgerServer, peer: Peer, _sql: str, _kind: str) -> None:
    await peer.send_raw(wire.packet(0, wire.error(4031)))
    peer.hang_up()


_FAULTS: dict[str, Fault] = {
    "lost before": _lost_before,
    "lost after": _lost_after,
    "killed after": _killed_after,
    "lost long before": _lost_long_before,
    "silent before": _silent_before,
    "silent after": _silent_after,
    "deadlock": _deadlock,
    "lock wait": _lock_wait,
    "read-only": _read_only,
    "4031": _idle_too_long,
}
FAULTS = tuple(_FAULTS)
