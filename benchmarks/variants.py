"""Our app with one thing left out, to see what that thing costs. Built here, not by flags in the app.

Each is made by putting something else in the place of a part while the app is wired together
(``built``), or while requests are handled (``during``). None of them is fit for use.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import SimpleNamespace
from typing import Any, NoReturn, Self
from unittest.mock import patch

from quart import Quart, Response, current_app, request
from quart.wrappers.request import Body

from benchmarks.peers.contract import city_text
from quart_app.app import create_app
from quart_app.extension import QuartMySQL
from quart_app.http.idempotency import Answer
from quart_app.mysql import deadline
from quart_app.mysql.classify import Intent
from quart_app.mysql.driver import Connection, Result
from quart_app.mysql.errors import DatabaseError
from quart_app.mysql.jsonreader import JSONReader
from quart_app.mysql.pool import Pool
from quart_app.mysql.retry import Attempts
from quart_app.settings import Settings

GETS = ("nodb", "lookup")
EVERYWHERE = (*GETS, "post")


class Role(Enum):
    """How a variant differs from the whole app, so whose cost the difference is."""

    WITHOUT = "without"  # less than the whole app: what it lacks costs the difference
    WITH = "with"  # more
    INSTEAD = "instead"  # the usual way in the place of ours: the difference is what ours saves


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to build the app; compared with the whole app at each of *workloads*."""

    name: str
    what: str
    role: Role = Role.WITHOUT
    workloads: tuple[str, ...]
    built: Mapping[str, object] = field(default_factory=dict)
    during: Mapping[str, object] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)

    def app(self, settings: Settings) -> Quart:
        """Wire it together, with a route that asks no database."""
        with _replaced(self.built):
            app = create_app(settings.model_copy(update=dict(self.settings)))
        app.add_url_rule("/nodb", view_func=_no_database)
        return app

    def handling(self) -> contextlib.AbstractContextManager[None]:
        """Be what it is while requests are handled."""
        return _replaced(self.during)


async def _no_database() -> Response:
    return Response(city_text(request.args.get("city", ""), (1,)), mimetype="text/plain")


@contextlib.contextmanager
def _replaced(parts: Mapping[str, object]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for target, part in parts.items():
            stack.enter_context(patch(target, part))
        yield


class _NoLimit(deadline.until):
    """Leaves the ambient deadline alone."""

    def __init__(self) -> None:
        super().__init__(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing was changed."""


class _OneTry(Attempts):
    """Neither classifies an error nor tries again."""

    LIMIT = _NoLimit()

    def __init__(self, pool: Pool, intent: Intent) -> None:
        self.generation, self.intent, self.unknown = pool.generation, intent, False

    def limit(self) -> deadline.until:
        return self.LIMIT

    def failed(self, error: DatabaseError, *_: object, **__: object) -> NoReturn:
        raise error

    def succeeded(self) -> None:
        """Nothing was healed."""


class _TriesOnce(QuartMySQL):
    """Does everything once."""

    def _attempts(self, intent: Intent, timeout: float | None = None) -> Attempts:  # noqa: ARG002 - no tries, no time
        return _OneTry(self.pool, intent)


class _AsksAlone(QuartMySQL):
    """Sends every lookup by itself."""

    def lookup(self, sql: str) -> Any:
        async def ask(*args: object) -> list[tuple[Any, ...]]:
            return (await self.read(sql, args)).rows

        return ask


class _PlainRows(JSONReader):
    """Never has the server write JSON: rows are put together here, from their texts."""

    def _remember(self, sql: str, result: Result, until: float, *, with_args: bool) -> None:
        """Learn nothing."""


class _Unobserved:
    """No metrics, no status page, no slow-query log."""

    observer = None

    def __init__(self, settings: Settings) -> None:
        self.connect = settings.connect

    def install(self, app: Quart) -> None:
        """Install nothing."""


async def _without_key(_request: object, *, content: bytes, work: Any) -> Response:  # noqa: ARG001 - as once()
    """Do the work in a transaction, as ``once()`` does, and remember nothing."""

    async def unclaimed(_: Connection) -> Answer:
        done: Answer = await work()
        return done

    session: QuartMySQL = current_app.extensions["QUART_MYSQL"]
    answer = await session.run(unclaimed, idempotent=True)
    return Response(answer.body, answer.status, content_type=answer.content_type)


_NOTHING = SimpleNamespace(install=lambda *_, **__: None)
_DEADLINE = {"quart_app.app.deadline": _NOTHING}
_RECONNECT = {"quart_app.app.reconnect": _NOTHING}
_RETRY = {"quart_app.app.QuartMySQL": _TriesOnce}
_METRICS = {"quart_app.app.observation": SimpleNamespace(of=_Unobserved)}
_REQUEST_ID = {"quart_app.app.request_id": _NOTHING}
_SECURITY = {"quart_app.app.security": _NOTHING}

WHOLE = Variant(name="whole", what="the whole app", workloads=(*EVERYWHERE, "list"))
VARIANTS: tuple[Variant, ...] = (
    WHOLE,
    Variant(name="again", what="nothing: the noise", workloads=(*EVERYWHERE, "list")),
    Variant(
        name="deadline",
        what="deadline of the request, ambient in every statement",
        workloads=EVERYWHERE,
        built=_DEADLINE,
    ),
    Variant(
        name="retry",
        what="classification and retry round each statement or transaction",
        workloads=("lookup", "list", "post"),
        built=_RETRY,
    ),
    Variant(
        name="reconnect",
        what="reconnect middleware: intent, journal, body kept for a replay",
        workloads=EVERYWHERE,
        built=_RECONNECT,
    ),
    Variant(
        name="body",
        what="of that: the body kept",
        workloads=("post",),
        built={"quart_app.http.reconnect.ReplayableBody": Body},
    ),
    Variant(
        name="journal",
        what="of that: the journal of what was sent",
        workloads=("post",),
        during={"quart_app.http.reconnect._Case.journal": lambda _: contextlib.nullcontext()},
    ),
    Variant(
        name="key",
        what="Idempotency-Key: claimed and stored with its answer",
        workloads=("post",),
        during={"quart_app.http.idempotency.once": _without_key},
    ),
    Variant(
        name="metrics",
        what="metrics, status page, slow-query log",
        workloads=EVERYWHERE,
        built=_METRICS,
    ),
    Variant(
        name="slow",
        what="of that: the slow-query log",
        workloads=("lookup", "post"),
        settings={"slow_query": 0.0},
    ),
    Variant(name="id", what="request id", workloads=EVERYWHERE, built=_REQUEST_ID),
    Variant(name="headers", what="security headers", workloads=EVERYWHERE, built=_SECURITY),
    Variant(
        name="all",
        what="all of these but the key",
        workloads=EVERYWHERE,
        built={**_DEADLINE, **_RECONNECT, **_RETRY, **_METRICS, **_REQUEST_ID, **_SECURITY},
    ),
    Variant(
        name="log",
        what="access log: on by default, off in the whole app here",
        role=Role.WITH,
        workloads=GETS,
        settings={"access_log": True},
    ),
    Variant(
        name="stock",
        what="a lean request path, not all of Quart's",
        role=Role.INSTEAD,
        workloads=EVERYWHERE,
        built={"quart_app.app.LeanQuart": Quart},
    ),
    Variant(
        name="alone",
        what="lookups share round trips",
        role=Role.INSTEAD,
        workloads=("lookup",),
        built={"quart_app.app.QuartMySQL": _AsksAlone},
    ),
    Variant(
        name="rows",
        what="the server writes the JSON, not Python",
        role=Role.INSTEAD,
        workloads=("list",),
        built={"quart_app.mysql.session.JSONReader": _PlainRows},
    ),
)
BY_NAME = {variant.name: variant for variant in VARIANTS}
