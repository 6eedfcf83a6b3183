"""LeanQuart answers as Quart does, over the ASGI protocol itself."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import ExitStack
from inspect import iscoroutinefunction
from typing import Any

import pytest
from quart import Blueprint, Quart, Response, request, session, signals
from quart.sessions import SecureCookieSessionInterface

from quart_app.http.lean import LeanQuart
from quart_app.http.lean.connection import WATCH_AFTER

Message = MutableMapping[str, Any]


class Client:
    """One request by ASGI: what the app sent, and a switch to go away."""

    def __init__(self, app: Quart, path: str = "/", **scope: object) -> None:
        self.sent: list[Message] = []
        self.gone = asyncio.Event()
        self._app = app
        self._received: list[Message] = []
        self._scope: Message = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"api.test"), (b"x-trace", b"abc")],
            "client": ("192.0.2.1", 5),
            "server": ("127.0.0.1", 80),
            **scope,
        }

    async def ask(self, *parts: bytes) -> None:
        """Send the request, in *parts*, and wait for the whole answer."""
        last = len(parts) - 1
        self._received = [
            {"type": "http.request", "body": part, "more_body": number < last}
            for number, part in enumerate(parts or (b"",))
        ]
        await self._app(self._scope, self._receive, self._send)  # type: ignore[arg-type] # plain dicts

    async def ask_for_more(self, part: bytes) -> None:
        """Send only a *part* of the body, and wait for the answer all the same."""
        self._received = [{"type": "http.request", "body": part, "more_body": True}]
        await self._app(self._scope, self._receive, self._send)  # type: ignore[arg-type] # as above

    async def _receive(self) -> Message:
        if self._received:
            return self._received.pop(0)
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])


Handler = Callable[[], Awaitable[str | Response]]


def serving(handler: Handler, **options: Any) -> LeanQuart:
    app = LeanQuart("tested")
    app.add_url_rule("/", view_func=handler, **options)
    return app


async def test_short_answer_is_two_messages() -> None:
    async def handler() -> Response:
        return Response("hello", mimetype="text/plain")

    client = Client(serving(handler))
    await client.ask()
    assert client.sent == [
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", b"5"),
            ],
        },
        {"type": "http.response.body", "body": b"hello", "more_body": False},
    ]


async def test_handler_sees_headers_address_and_query() -> None:
    async def handler() -> str:
        seen = request.headers["X-Trace"], request.remote_addr, request.args["q"], request.host
        return " ".join(str(item) for item in seen)

    client = Client(serving(handler), query_string=b"q=%C3%A9")
    await client.ask()
    assert client.body.decode() == "abc 192.0.2.1 é api.test"


async def test_route_is_found_whatever_bytes_the_query_has() -> None:
    async def handler() -> str:
        return "found"

    client = Client(serving(handler), query_string=b"q=\xff")
    await client.ask()
    assert client.body == b"found"


async def test_scope_without_client_or_host() -> None:
    async def handler() -> str:
        return str(request.remote_addr)

    client = Client(serving(handler), client=None, headers=[])
    await client.ask()
    assert client.body == b"<local>"


@pytest.mark.parametrize(
    "unusual", [{"http_version": "1.0"}, {"root_path": "/api", "path": "/api/"}]
)
async def test_unusual_scopes_go_quarts_way(unusual: dict[str, str]) -> None:
    async def handler() -> str:
        return request.path

    client = Client(serving(handler), **unusual)
    await client.ask()
    assert client.body == b"/"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("target", ["", "http://[x/"])
async def test_target_that_cannot_be_read_is_the_clients_fault(method: str, target: str) -> None:
    async def handler() -> str:
        return "never"

    client = Client(serving(handler, methods=[method]), target, method=method)
    await client.ask()
    assert client.status == 400
    assert client.body == b""


async def test_target_with_its_host_finds_its_route() -> None:
    async def handler() -> str:
        return "found"

    client = Client(serving(handler), "http://api.test/")
    await client.ask()
    assert client.body == b"found"


async def test_post_has_its_body() -> None:
    async def handler() -> str:
        return str(await request.get_data(as_text=True))

    client = Client(serving(handler, methods=["POST"]), method="POST")
    await client.ask(b"one ", b"two")
    assert client.body == b"one two"


async def test_body_of_a_get_is_not_waited_for() -> None:
    async def handler() -> str:
        return str(await request.get_data(as_text=True)) + "."

    client = Client(serving(handler))
    await client.ask(b"ignored")
    assert client.body == b"."


async def test_stream_is_sent_in_parts() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    async def handler() -> Response:
        return Response(parts())

    client = Client(serving(handler))
    await client.ask()
    assert [message.get("body") for message in client.sent[1:]] == [b"one", b"two", b""]


async def test_range_of_a_body_is_sent() -> None:
    async def handler() -> Response:
        response = Response(b"0123456789")
        await response.make_conditional(request, complete_length=10, accept_ranges=True)
        return response

    client = Client(serving(handler), headers=[(b"host", b"x"), (b"range", b"bytes=2-4")])
    await client.ask()
    assert (client.status, client.body) == (206, b"234")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_client_that_leaves_cancels_the_handler(method: str) -> None:
    entered, ended = asyncio.Event(), asyncio.Event()

    async def handler() -> str:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return "never"

    client = Client(serving(handler, methods=[method]), method=method)
    asking = asyncio.create_task(client.ask())
    await entered.wait()
    client.gone.set()
    began = asyncio.get_running_loop().time()
    await asking
    assert ended.is_set()
    assert not client.sent
    assert asyncio.get_running_loop().time() - began >= WATCH_AFTER / 2
    assert asking.cancelling() == 0


async def test_client_that_leaves_before_its_body_is_whole_cancels_the_handler() -> None:
    ended = asyncio.Event()

    async def handler() -> str:
        try:
            await request.get_data()
        finally:
            ended.set()
        return "never"

    client = Client(serving(handler, methods=["POST"]), method="POST")
    asking = asyncio.create_task(client.ask_for_more(b"one "))
    client.gone.set()
    await asking
    assert ended.is_set()
    assert not client.sent


async def test_answer_to_a_body_that_never_ends_leaves_no_watcher() -> None:
    async def handler() -> str:
        return "enough"

    client = Client(serving(handler, methods=["POST"]), method="POST")
    await client.ask_for_more(b"one ")
    await asyncio.sleep(0)
    assert client.body == b"enough"
    assert [task.get_name() for task in asyncio.all_tasks()].count("client-watch") == 0


async def test_handler_that_survives_its_cancellation_leaves_none_behind() -> None:
    async def handler() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "regardless"
        return "never"

    client = Client(serving(handler))
    client.gone.set()
    asking = asyncio.create_task(client.ask())
    await asking
    assert client.body == b"regardless"
    assert asking.cancelling() == 0


async def test_cancelled_by_the_server_it_stays_cancelled() -> None:
    entered = asyncio.Event()

    async def handler() -> str:
        entered.set()
        await asyncio.Event().wait()
        return "never"

    asking = asyncio.create_task(Client(serving(handler)).ask())
    await entered.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_no_watcher_is_left() -> None:
    async def handler() -> str:
        await asyncio.sleep(WATCH_AFTER * 2)
        return "slow"

    client = Client(serving(handler))
    await client.ask()
    await asyncio.sleep(0)
    assert client.body == b"slow"
    assert [task.get_name() for task in asyncio.all_tasks()].count("client-watch") == 0


def plain() -> str:
    return "plain"


class Views:
    async def bound(self) -> str:
        return "bound"


async def test_bound_method_is_a_handler() -> None:
    client = Client(serving(Views().bound))
    await client.ask()
    assert client.body == b"bound"


def test_coroutine_functions_are_called_as_they_are_others_by_quart() -> None:
    app, view = LeanQuart("tested"), Views().bound
    assert app.ensure_async(view) is view
    assert app.ensure_async(plain) is not plain
    assert iscoroutinefunction(app.ensure_async(plain))


async def test_hooks_of_nested_blueprints_run() -> None:
    ran: list[str] = []
    app, outer, inner = LeanQuart("tested"), Blueprint("o", "o"), Blueprint("i", "i")

    @inner.get("/")
    async def handler() -> str:
        ran.append(",".join(request.blueprints))
        return ""

    for name, level in (("app", app), ("outer", outer), ("inner", inner)):

        async def hook(name: str = name) -> None:
            ran.append(name)

        level.before_request(hook)
    outer.register_blueprint(inner)
    app.register_blueprint(outer)
    await Client(app).ask()
    assert ran == ["app", "outer", "inner", "o.i,o"]


async def test_sessions_are_empty_and_cannot_be_written() -> None:
    async def handler() -> str:
        with pytest.raises(RuntimeError):
            session["a"] = 1
        return str(dict(session))

    client = Client(serving(handler))
    await client.ask()
    assert client.body == b"{}"


async def test_server_name_is_matched_by_quart() -> None:
    async def handler() -> str:
        return "here"

    app = serving(handler)
    app.config["SERVER_NAME"] = "api.test"
    client = Client(app)
    await client.ask()
    assert client.body == b"here"


async def test_headers_are_found_as_in_werkzeug() -> None:
    seen: list[object] = []

    async def handler() -> str:
        headers = request.headers
        seen.append((headers.get("x-TRACE"), headers.get("Missing"), headers.get("Missing", "no")))
        seen.append((headers.get("X-Number", type=int), headers.get("X-Trace", 7, type=int)))
        seen.append(headers.getlist("X-Trace"))
        return ""

    headers = [(b"host", b"a"), (b"x-trace", b"one"), (b"x-trace", b"two"), (b"x-number", b"5")]
    await Client(serving(handler), headers=headers).ask()
    assert seen == [("one", None, "no"), (5, 7), ["one", "two"]]


async def test_body_announced_too_large_is_refused() -> None:
    async def handler() -> str:
        await request.get_data()
        raise AssertionError("unreachable")

    app = serving(handler, methods=["POST"])
    app.config["MAX_CONTENT_LENGTH"] = 3
    client = Client(app, method="POST", headers=[(b"host", b"a"), (b"content-length", b"4")])
    await client.ask(b"abcd")
    assert client.status == 413


async def test_body_is_waited_for_piece_by_piece() -> None:
    async def handler() -> str:
        return "|".join([part.decode() async for part in request.body])

    client = Client(serving(handler, methods=["POST"]), method="POST")
    await client.ask(b"a", b"b", b"c")
    assert client.body.replace(b"|", b"") == b"abc"


async def test_answer_that_is_not_taken_in_time_ends() -> None:
    async def handler() -> Response:
        return Response("hello")

    async def send(_: object) -> None:
        await asyncio.sleep(3600)

    app = serving(handler)
    client = Client(app)
    began = asyncio.get_running_loop().time()
    await app(client._scope, client._receive, send)  # type: ignore[arg-type] # plain dicts
    assert asyncio.get_running_loop().time() == began + app.config["RESPONSE_TIMEOUT"]


@pytest.mark.parametrize("timeout", [None, 5000])
async def test_answer_may_have_a_limit_of_its_own(timeout: float | None) -> None:
    async def handler() -> Response:
        response = Response("hello")
        response.timeout = timeout
        return response

    sent = []

    async def send(message: Message) -> None:
        await asyncio.sleep(3600)
        sent.append(message)

    app = serving(handler)
    client = Client(app)
    await app(client._scope, client._receive, send)  # type: ignore[arg-type] # plain dicts
    assert len(sent) == (2 if timeout is None else 1)


SIGNALS = (
    signals.appcontext_pushed,
    signals.request_started,
    signals.request_finished,
    signals.request_tearing_down,
    signals.appcontext_tearing_down,
    signals.appcontext_popped,
)


async def test_who_wants_to_know_of_a_request_is_told_as_in_quart() -> None:
    async def handler() -> str:
        return ""

    async def told_by(app: Quart) -> list[str]:
        app.add_url_rule("/", view_func=handler)
        names: list[str] = []
        with ExitStack() as stack:
            for signal in SIGNALS:
                stack.enter_context(signal.connected_to(_noting(names, signal.name), sender=app))
            await Client(app).ask()
        return names

    told = await told_by(LeanQuart("tested"))
    assert told == await told_by(Quart("tested"))
    assert len(told) == len(SIGNALS)


def _noting(names: list[str], name: str) -> Callable[..., Awaitable[None]]:
    async def note(*_: object, **__: object) -> None:
        names.append(name)

    return note


async def test_functions_for_the_end_of_a_request_are_called() -> None:
    ended = []

    async def handler() -> str:
        return ""

    app = serving(handler)

    @app.teardown_request
    async def after_request(_: BaseException | None) -> None:
        ended.append("request")

    @app.teardown_appcontext
    async def after_context(_: BaseException | None) -> None:
        ended.append("app")

    await Client(app).ask()
    assert ended == ["request", "app"]


async def test_a_function_that_comes_before_may_answer() -> None:
    async def handler() -> str:
        raise AssertionError("unreachable")

    app = serving(handler)
    app.before_request(_early)
    client = Client(app)
    await client.ask()
    assert client.body == b"early"


async def _early() -> str:
    return "early"


async def test_sessions_of_another_kind_are_opened() -> None:
    async def handler() -> str:
        session["seen"] = True
        return ""

    app = serving(handler)
    app.secret_key = "of a test"  # noqa: S105 # no secret
    app.session_interface = SecureCookieSessionInterface()  # type: ignore[assignment] # as above
    client = Client(app)
    await client.ask()
    names = [name for name, _ in client.sent[0]["headers"]]
    assert b"set-cookie" in names


async def test_route_is_found_again_and_gives_way_to_a_better_one() -> None:
    async def handler(**_: str) -> str:
        return str(request.endpoint)

    app = LeanQuart("tested")
    app.add_url_rule("/<path:rest>", "any", handler, methods=["GET", "POST"])
    answers = []
    for path, method in (("/a", "GET"), ("/a", "GET"), ("/b", "GET"), ("/a", "POST")):
        client = Client(app, path, method=method)
        await client.ask()
        answers.append(client.body)
    assert answers == [b"any"] * 4
    app.add_url_rule("/a", "plain", handler)
    for endpoint, path in ((b"plain", "/a"), (b"plain", "/a"), (b"any", "/b")):
        client = Client(app, path)
        await client.ask()
        assert client.body == endpoint
    client = Client(app, "/a", method="POST")
    await client.ask()
    assert client.body == b"any"


async def test_only_routes_without_parameters_are_remembered() -> None:
    async def handler(**_: str) -> str:
        return ""

    app = LeanQuart("tested")
    app.add_url_rule("/one/<name>", "one", handler)
    app.add_url_rule("/two", "two", handler)
    app.add_url_rule("/three", "three", handler, defaults={"name": "x"})
    app.add_url_rule("/four/", "four", handler)
    for path in ("/one/a", "/one/b", "/two", "/two", "/three", "/four", "/none", "//two"):
        await Client(app, path).ask()
    assert list(app._known_rules) == [("GET", "/two")]
