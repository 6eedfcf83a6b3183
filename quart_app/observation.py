"""Who looks on: metrics, the status page, the slow-query log and, if wanted, traces. Wires them up."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from quart import Quart

from quart_app.http import metrics
from quart_app.metrics import Metrics, Observers
from quart_app.mysql.config import ConnectConfig
from quart_app.mysql.observer import Observer
from quart_app.settings import Settings
from quart_app.slow_log import both, slow_log
from quart_app.status import views as status
from quart_app.status.history import History

Install = Callable[[Quart], None]


@dataclass(slots=True, kw_only=True)
class Observation:
    """What the engine is to be given, and what is to be installed round every request."""

    connect: ConnectConfig
    observers: list[Observer] = field(default_factory=list)
    installs: list[Install] = field(default_factory=list)

    @property
    def observer(self) -> Observer:
        """All observers as one."""
        return Observers(*self.observers)

    def install(self, app: Quart) -> None:
        """Install them round every request of *app*, after everything else that is round it."""
        for install in self.installs:
            install(app)


def of(settings: Settings) -> Observation:
    """Make what *settings* ask for."""
    observation = Observation(connect=settings.connect)
    _count(observation, settings)
    if settings.slow_query:
        watch = slow_log(settings.slow_query)
        observation.connect = replace(observation.connect, watch=watch)
    if settings.tracing:
        _trace(observation)
    return observation


def _count(observation: Observation, settings: Settings) -> None:
    counted, history = Metrics(name=settings.pool.name), History()
    observation.observers += [counted.pool, history]
    observation.installs += [
        lambda app: metrics.install(app, counted),
        lambda app: status.install(app, history, counted),
    ]


def _trace(observation: Observation) -> None:
    from quart_app.http import tracing  # noqa: PLC0415 - an extra that need not be installed

    provider = tracing.provider_from_env()
    watch, slow = tracing.statement_watch(provider, observation.connect), observation.connect.watch
    watch = watch if slow is None else both(watch, slow)
    observation.connect = replace(observation.connect, watch=watch)
    observation.observers.append(tracing.RetryEvents())
    observation.installs.append(lambda app: tracing.install(app, provider))
