"""The app: Quart's handling of a request, less what this one never asks of it."""

from collections.abc import Callable
from inspect import CO_COROUTINE
from types import FunctionType, MethodType
from typing import Any

from quart import Quart, Request
from quart.ctx import AppContext, RequestContext
from quart.globals import _cv_app
from quart.sessions import NullSession, SessionInterface
from quart.signals import (
    appcontext_popped,
    appcontext_pushed,
    appcontext_tearing_down,
    request_finished,
    request_started,
    request_tearing_down,
)
from quart.typing import ResponseTypes
from quart.wrappers.base import BaseRequestWebsocket
from werkzeug.routing import MapAdapter, Rule

from quart_app.http.lean.connection import LeanConnection
from quart_app.http.lean.request import LeanRequest

_NO_SESSION = NullSession()
_RULE_WANTED = {"return_rule": True}


class NoSessions(SessionInterface):
    """Gives every request the same nothing."""

    async def open_session(self, app: Quart, request: BaseRequestWebsocket) -> NullSession:  # noqa: ARG002 # Quart's interface
        return _NO_SESSION


class LeanMapAdapter(MapAdapter):
    """Finds a route without parameters in a dict, the second time; Werkzeug walks a tree each time.

    Arguments:
        *known*: the rules found before, by method and path; filled here, with those of the routes only.
    """

    known: dict[tuple[str, str], Rule]

    def match(self, *args: Any, **options: Any) -> Any:
        """Match; as Quart does, for the request's own path and method."""
        if args or options != _RULE_WANTED or self.websocket:
            return super().match(*args, **options)
        key = (self.default_method, self.path_info)
        rule = self.known.get(key)
        if rule is not None:
            return rule, {}
        found, values = super().match(return_rule=True)
        if found.methods and not found.arguments and not values:
            self.known[key] = found
        return found, values


class LeanAppContext(AppContext):
    """Tells nobody of its beginning and its end, unless somebody asked for that."""

    async def push(self) -> None:
        if appcontext_pushed.receivers:
            await super().push()
        else:
            self._cv_tokens.append(_cv_app.set(self))

    async def pop(self, *exc: Any) -> None:
        told = appcontext_tearing_down.receivers or appcontext_popped.receivers
        if told or self.app.teardown_appcontext_funcs or len(self._cv_tokens) != 1:
            await super().pop(*exc)
        else:
            _cv_app.reset(self._cv_tokens.pop())


class LeanQuart(Quart):
    """Quart, less what this app never asks of it."""

    asgi_http_class = LeanConnection
    request_class = LeanRequest
    session_interface = NoSessions()  # type: ignore[assignment] # annotated narrower than meant

    def __init__(self, *args: Any, **options: Any) -> None:
        self._known_rules: dict[tuple[str, str], Rule] = {}
        super().__init__(*args, **options)

    def app_context(self) -> AppContext:
        return LeanAppContext(self)

    def request_context(self, request: Request) -> RequestContext:
        session = _NO_SESSION if type(self.session_interface) is NoSessions else None
        return RequestContext(self, request, session)

    async def full_dispatch_request(
        self, request_context: RequestContext | None = None
    ) -> ResponseTypes:
        """Handle the request, and what goes before and after it."""
        if request_started.receivers or request_finished.receivers:
            return await super().full_dispatch_request(request_context)
        try:
            result: Any = await self.preprocess_request(request_context)
            if result is None:
                result = await self.dispatch_request(request_context)
        except Exception as error:  # noqa: BLE001 # Quart's error handlers take any
            result = await self.handle_user_exception(error)
        return await self.process_response(await self.make_response(result), request_context)

    async def do_teardown_request(
        self, exc: BaseException | None, request_context: RequestContext | None = None
    ) -> None:
        """Call those who want to know that the request has ended."""
        if self.teardown_request_funcs or request_tearing_down.receivers:
            await super().do_teardown_request(exc, request_context)

    def ensure_async(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return *func* if it is a coroutine function, at once; anything else is Quart's matter."""
        plain = func.__func__ if isinstance(func, MethodType) else func
        if type(plain) is FunctionType and plain.__code__.co_flags & CO_COROUTINE:
            return func
        return super().ensure_async(func)

    def create_url_adapter(self, request: BaseRequestWebsocket | None) -> MapAdapter | None:
        """Match by path alone: with no host to match, Quart still encodes its name for DNS."""
        routes = self.url_map
        if request is None or self.config["SERVER_NAME"] is not None or routes.host_matching:
            return super().create_url_adapter(request)
        routes.update()
        adapter = LeanMapAdapter(
            routes,
            request.host,
            request.root_path,
            routes.default_subdomain,
            request.scheme,
            request.path,
            request.method,
            request.query_string.decode("latin1"),
        )
        adapter.known = self._known_rules
        return adapter

    def add_url_rule(self, *args: Any, **options: Any) -> None:
        """Add a route; it may be a better match for what was found before."""
        self._known_rules.clear()
        super().add_url_rule(*args, **options)
