"""START HERE: everything the app is made of, wired from top to bottom. No logic."""

from quart import Quart

from quart_app import budget, logs, observation
from quart_app.cities.views import blueprint as cities
from quart_app.extension import QuartMySQL
from quart_app.http import (
    auth,
    deadline,
    idempotency,
    problems,
    reconnect,
    replicas,
    request_id,
    security,
)
from quart_app.http.health import blueprint as health
from quart_app.http.ids import IdConverter
from quart_app.http.lean import LeanQuart
from quart_app.http.metrics import blueprint as metrics
from quart_app.pages import openapi
from quart_app.pages.views import blueprint as pages
from quart_app.settings import Settings
from quart_app.status.views import blueprint as status
from quart_app.students.views import blueprint as students


def create_app(settings: Settings) -> Quart:
    """Make the app; it opens its connections when it is served."""
    app = LeanQuart("quart_app", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_content_length_bytes
    app.url_map.converters["id"] = IdConverter

    seen = observation.of(settings)
    QuartMySQL(
        app,
        connect=seen.connect,
        pool=settings.pool,
        observer=seen.observer,
        replicas=settings.replicas,
    )

    problems.install(app)
    auth.install(app, tokens=settings.tokens)
    idempotency.install(app, keep=settings.idempotency_keep)
    if settings.replicas is not None:
        replicas.install(app)
    reconnect.install(app)
    deadline.install(app, timeout=settings.request_timeout)
    access_log = logs.AccessLog(settings.log_format) if settings.access_log else None
    request_id.install(app, access_log=access_log)
    security.install(app, request_timeout=settings.request_timeout)
    seen.install(app)
    budget.install(app, settings)

    app.register_blueprint(cities)
    app.register_blueprint(students)
    app.register_blueprint(health)
    app.register_blueprint(metrics)
    app.register_blueprint(status)
    app.register_blueprint(pages)
    openapi.install(app)
    return app
