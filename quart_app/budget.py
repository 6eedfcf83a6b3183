"""At start: may this program, with all its copies, open more connections than the server takes?

A warning only: the connections are opened as they are needed, and the one that is refused is waited
for. ``quart-app doctor`` tells more, of a server at any time.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator

from quart import Quart

from quart_app.extension import EXTENSION
from quart_app.mysql.errors import DatabaseError
from quart_app.mysql.session import Session
from quart_app.settings import Settings

log = logging.getLogger("quart_app")

AGAIN_AFTER = 10.0
# max_user_connections: of the server, or of the account; 0: none.
LIMITS = "SELECT @@max_connections, @@max_user_connections"


def install(app: Quart, settings: Settings) -> None:
    """Have *app* compare once, when it is first connected; its start does not wait for that."""
    session: Session = app.extensions[EXTENSION]

    async def serving() -> AsyncGenerator[None, None]:
        comparing = asyncio.create_task(_compare(session, settings), name="quart_app-budget")
        try:
            yield
        finally:
            comparing.cancel()

    app.while_serving(serving)


def warning(settings: Settings, *, limit: int) -> str | None:
    """Tell what does not fit into *limit*, with all numbers; None if it fits."""
    instances, workers, maxsize = settings.instances, settings.workers, settings.maxsize
    # One more for each pool, to kill statements that nobody waits for any more.
    wanted = instances * workers * (maxsize + 1)
    if wanted < limit:
        return None
    return (
        f"up to {wanted} connections may be opened, and the server takes {limit}: "
        f"{instances} instances x {workers} workers x ({maxsize} + 1); "
        "lower QUART_APP_MAXSIZE or raise max_connections"
    )


async def fetch_limit(session: Session) -> int:
    """Ask the server how many connections it takes from us; raises DatabaseError."""
    found = await session.fetch_sole(LIMITS)
    return min(int(limit) for limit in found if int(limit) > 0)


async def _compare(session: Session, settings: Settings) -> None:
    text = warning(settings, limit=await _limit(session))
    if text is not None:
        log.warning(text)


async def _limit(session: Session) -> int:
    """Ask the server for its limit, as often as it takes."""
    while True:
        try:
            return await fetch_limit(session)
        except DatabaseError as error:
            log.debug("the connection budget is not checked yet: %s", type(error).__name__)
            await asyncio.sleep(AGAIN_AFTER)
