"""START HERE: everything the app is made of, wired from top to bottom. No logic."""

from dataclasses import replace

from quart import Quart

from quart_app import logs
from quart_app.cities.views import blueprint as cities
from quart_app.extension import QuartMySQL
from quart_app.http import (
    auth,
    deadline,
    idempotency,
    metrics,
    problems,
    reconnect,
    request_id,
    security,
)
from quart_app.http.health import blueprint as health
from quart_app.http.ids import IdConverter
from quart_app.http.lean import LeanQuart
from quart_app.metrics import Metrics, Observers
from quart_app.pages import openapi
from quart_app.pages.views import blueprint as pages
from quart_app.settings import Settings
from quart_app.slow_log import slow_log
from quart_app.status import views as status
from quart_app.status.history import History
from quart_app.students.views import blueprint as students


def create_app(settings: Settings) -> Quart:
    """Make the app; it opens its connections when it is served."""
    app = LeanQuart("quart_app", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_content_length_bytes
    app.url_map.converters["id"] = IdConverter

    counted, history = Metrics(name=settings.pool.name), History()
    observer = Observers(counted.pool, history)
    watch = slow_log(settings.slow_query) if settings.slow_query else None
    connect = replace(settings.connect, watch=watch)
    QuartMySQL(app, connect=connect, pool=settings.pool, observer=observer)

    problems.install(app)
    auth.install(app, tokens=settings.tokens)
    idempotency.install(app)
    reconnect.install(app)
    deadline.install(app, timeout=settings.request_timeout)
    access_log = logs.AccessLog(settings.log_format) if settings.access_log else None
    request_id.install(app, access_log=access_log)
    security.install(app, request_timeout=settings.request_timeout)
    metrics.install(app, counted)
    status.install(app, history, counted)

    app.register_blueprint(cities)
    app.register_blueprint(students)
    app.register_blueprint(health)
    app.register_blueprint(metrics.blueprint)
    app.register_blueprint(status.blueprint)
    app.register_blueprint(pages)
    openapi.install(app)
    return app
