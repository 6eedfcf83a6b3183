"""A session on a real driver and a scripted server, in virtual time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from quart_app.mysql.config import ConnectConfig, Endpoint, PoolConfig, RetryPolicy, TLSMode
from quart_app.mysql.observer import Observer
from quart_app.mysql.pool import Pool
from quart_app.mysql.session import Session
from tests.support.server import Peer, ScriptedServer

POLICY = RetryPolicy(timeout=10.0, wait_initial=0.1, wait_max=1.0)


@dataclass
class Retries(Observer):
    """Remembers every retry it is told of."""

    seen: list[tuple[str, int, float, int | None]] = field(default_factory=list)

    healed_after: list[float] = field(default_factory=list)

    def healed(self, *, after: float, error: Exception) -> None:
        assert str(error)
        self.healed_after.append(after)

    def retried(self, *, phase: str, attempt: int, waited: float, error: Exception) -> None:
        self.seen.append((phase, attempt, waited, getattr(error, "errno", None)))


@dataclass
class Scene:
    """What a test plays with."""

    server: ScriptedServer
    session: Session
    retries: Retries

    @property
    def work(self) -> list[str]:
        """The statements of the test: without those of a new connection's set-up."""
        return [sql for sql in self.server.statements if not _is_set_up(sql)]


@asynccontextmanager
async def scene(
    *, maxsize: int = 4, acquire_timeout: float = 5.0, statement_timeout: float | None = None
) -> AsyncIterator[Scene]:
    """A server, a pool on it, and a session whose jitter is always the longest."""
    server, retries = ScriptedServer(), Retries()
    server.serve_in_memory()
    config = PoolConfig(
        minsize=0,
        maxsize=maxsize,
        acquire_timeout=acquire_timeout,
        statement_timeout=statement_timeout,
    )
    connect = ConnectConfig(endpoints=(Endpoint(),), user="u", tls_mode=TLSMode.DISABLED)
    pool = Pool(connect, config, observer=retries)
    await pool.open()
    try:
        yield Scene(server, Session(pool, POLICY, uniform=lambda _, high: high), retries)
        stats = pool.stats()
        assert stats.acquired == stats.released
        assert stats.active == stats.waiting == 0
    finally:
        pool.close()
        await pool.wait_closed()


async def roll_back(peer: Peer) -> None:
    """What a server does to a transaction before it answers 1213."""
    peer.in_transaction = False


def _is_set_up(sql: str) -> bool:
    return sql.startswith(("SET NAMES", "SET AUTOCOMMIT", "SELECT @@", "SELECT CONCAT_WS"))
