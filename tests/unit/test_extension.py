"""QuartMySQL: the shape of a Quart extension."""

import asyncio
from typing import Self

import pytest
from quart import Quart

from quart_app.extension import EXTENSION, QuartMySQL, current_session
from quart_app.mysql.config import ConnectConfig, PoolConfig
from quart_app.mysql.errors import PoolClosed

CONNECT = ConnectConfig(user="me", database="mine")


def test_init_app_later() -> None:
    app = Quart(__name__)
    db = QuartMySQL(connect=CONNECT)
    db.init_app(app)
    assert app.extensions[EXTENSION] is db


def test_configuration_of_the_app_is_the_fallback() -> None:
    app = Quart(__name__)
    app.config["QUART_MYSQL_CONNECT"] = CONNECT
    app.config["QUART_MYSQL_POOL"] = PoolConfig(maxsize=3)
    db = QuartMySQL(app)
    assert db._connect is CONNECT
    assert db._new_pool().maxsize == 3


def test_without_configuration_it_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match=r"connect=, or app\.config\['QUART_MYSQL_CONNECT'\]"):
        QuartMySQL(Quart(__name__))


async def test_current_session_is_the_apps() -> None:
    app = Quart(__name__)
    db = QuartMySQL(app, connect=CONNECT)
    async with app.app_context():
        assert current_session() is db


class Opening:
    """In the place of a pool: notes what becomes of it."""

    def __init__(self, *, fails: str | None = None) -> None:
        self.fails = fails
        self.notes: list[str] = []

    async def __aenter__(self) -> Self:
        self._note("open")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._note("closed")

    async def wait(self) -> None:
        await asyncio.Event().wait()

    def _note(self, what: str) -> None:
        self.notes.append(what)
        if what == self.fails:
            raise OSError(what)


@pytest.mark.parametrize("fails", ["open", "closed"])
async def test_pool_is_closed_whatever_the_replicas_do(fails: str) -> None:
    pool, replicas = Opening(), Opening(fails=fails)
    db = QuartMySQL(connect=CONNECT, replicas=CONNECT)
    db._new_pool = lambda: pool  # type: ignore[method-assign,assignment,return-value] # a stand-in
    db._replica_pool = lambda _: replicas  # type: ignore[method-assign,assignment,return-value] # as above
    serving = db._serving()
    with pytest.raises(OSError, match=fails):
        await anext(serving)
        await anext(serving)
    assert pool.notes == ["open", "closed"]


async def test_not_open_before_serving() -> None:
    db = QuartMySQL(Quart(__name__), connect=CONNECT)
    with pytest.raises(PoolClosed):
        await db.fetch_all("SELECT 1")
