"""Can it work with these settings? The checks behind ``quart-app serve --check``."""

from dataclasses import dataclass

from quart_app import budget
from quart_app.diagnosis import explain
from quart_app.migrations import read_state
from quart_app.mysql import errors
from quart_app.mysql.config import PoolConfig
from quart_app.mysql.pool import Pool
from quart_app.mysql.session import Session
from quart_app.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was checked; *fatal* if nothing works like this."""

    text: str
    ok: bool = True
    fatal: bool = False


async def check(settings: Settings) -> list[Finding]:
    """Connect once and compare our settings with the server's. Waits ``connect_timeout`` for it."""
    config = PoolConfig(name="check", maxsize=1)
    async with Pool(settings.connect, config) as pool:
        try:
            await pool.wait(timeout=settings.connect_timeout)
            async with pool.acquire() as connection:
                # MariaDB puts 5.5.5- before its version, for the sake of old replicas.
                version = connection.server.version.removeprefix("5.5.5-")
                found = [Finding(text=f"connected: {version}")]
            found += await _limits(Session(pool), settings)
        except errors.DatabaseError as error:
            return [Finding(text=explain(error), ok=False, fatal=True)]
    return [*found, await _migrations(settings)]


async def _limits(session: Session, settings: Settings) -> list[Finding]:
    sql = "SELECT @@wait_timeout, @@global.read_only"
    wait_timeout, read_only = await session.fetch_sole(sql)
    too_many = budget.warning(settings, limit=await budget.fetch_limit(session))
    found = []
    if settings.pool_recycle is not None and settings.pool_recycle >= wait_timeout:
        text = f"QUART_APP_POOL_RECYCLE should be less than the server's wait_timeout ({wait_timeout} s)"
        found.append(Finding(text=text, ok=False))
    if too_many is not None:
        found.append(Finding(text=too_many, ok=False))
    if read_only in (1, "ON"):
        found.append(Finding(text="the server is read-only: writes will fail", ok=False))
    return found


async def _migrations(settings: Settings) -> Finding:
    state = await read_state(settings.connect)
    if state.pending:
        pending = ", ".join(state.pending)
        return Finding(text=f"migrations to be run ({pending}): quart-app migrate", ok=False)
    return Finding(text=f"tables are up to date ({state.current})")
