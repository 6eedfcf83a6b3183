"""QuartMySQL: the shape of a Quart extension."""

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


async def test_not_open_before_serving() -> None:
    db = QuartMySQL(Quart(__name__), connect=CONNECT)
    with pytest.raises(PoolClosed):
        await db.fetch_all("SELECT 1")
