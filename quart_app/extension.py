"""QuartMySQL: the engine's session, opened and closed with a Quart app. Where both meet.

A database that is down when the app starts does not stop it: requests fail until it is up, then
they work.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import cast

from quart import Quart, current_app

from quart_app.diagnosis import explain
from quart_app.mysql.config import ConnectConfig, PoolConfig, RetryPolicy
from quart_app.mysql.errors import DatabaseError
from quart_app.mysql.observer import Observer
from quart_app.mysql.pool import Pool
from quart_app.mysql.replicas import Replicas
from quart_app.mysql.session import Session

EXTENSION = "QUART_MYSQL"
log = logging.getLogger("quart_app")


class QuartMySQL(Session):
    """A Session whose pool lives as long as the app serves.

        db = QuartMySQL(app, connect=ConnectConfig(user="me", database="mine"))
        rows = await db.fetch_all("SELECT ...")

    Arguments:
        app: as ``init_app()``, which may be called later instead.
        connect: where to; default: ``app.config["QUART_MYSQL_CONNECT"]``.
        pool: how many and for how long; default: ``app.config["QUART_MYSQL_POOL"]``, if set.
        retry: how work is tried again.
        observer: is told what happens.
        replicas: servers to read from where the reader allows it (mysql/consistency.py).

    Outside of serving every call raises PoolClosed.
    """

    def __init__(  # noqa: PLR0913 # independent keywords, each with a default
        self,
        app: Quart | None = None,
        *,
        connect: ConnectConfig | None = None,
        pool: PoolConfig | None = None,
        retry: RetryPolicy | None = None,
        observer: Observer | None = None,
        replicas: ConnectConfig | None = None,
    ) -> None:
        self._connect = connect
        self._replicas = replicas
        self._pool_config = pool
        self._observer = observer
        super().__init__(self._new_pool(), retry)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Quart) -> None:
        """Open with *app*'s lifespan, and be found as ``app.extensions["QUART_MYSQL"]``."""
        self._connect = self._connect or app.config.get("QUART_MYSQL_CONNECT")
        self._pool_config = self._pool_config or app.config.get("QUART_MYSQL_POOL")
        if self._connect is None:
            message = "QuartMySQL needs connect=, or app.config['QUART_MYSQL_CONNECT']"
            raise ValueError(message)
        app.extensions[EXTENSION] = self
        app.while_serving(self._serving)

    async def _serving(self) -> AsyncGenerator[None, None]:
        """Open, wait for the app to end, close: bounded by the pools' ``close_timeout``.

        What was opened is closed, the last first, whatever fails in between.
        """
        async with AsyncExitStack() as opened:
            self.pool = await opened.enter_async_context(self._new_pool())
            if self._replicas is not None:
                pool = await opened.enter_async_context(self._replica_pool(self._replicas))
                self.replicas = Replicas(pool)
            first = asyncio.create_task(
                self._report_first_connect(), name="quart_mysql-first-connect"
            )
            opened.callback(first.cancel)
            yield

    async def _report_first_connect(self) -> None:
        """Say in plain words what is wrong, once; the pool goes on trying by itself."""
        try:
            await self.pool.wait()
        except DatabaseError as error:
            log.error("the database is not there: %s", explain(error))  # noqa: TRY400 - no trace
        else:
            log.info("connected to the database")

    def _replica_pool(self, connect: ConnectConfig) -> Pool:
        config = replace(self._pool_config or PoolConfig(), name="replicas")
        return Pool(replace(connect, any_role=True), config)

    def _new_pool(self) -> Pool:
        return Pool(self._connect, self._pool_config, observer=self._observer)


def session_of(app: Quart) -> QuartMySQL:
    """Get *app*'s extension."""
    return cast("QuartMySQL", app.extensions[EXTENSION])


def current_session() -> QuartMySQL:
    """Get the extension of the app that handles the current request."""
    return cast("QuartMySQL", current_app.extensions[EXTENSION])
