"""Hypercorn in this process, stopped so that nothing in flight is lost.

SIGTERM: ready says 503; after ``drain_delay`` the port closes; requests in flight get
``graceful_timeout``; then the app closes its pool. SIGINT, or a second signal, skips the delay. The
end of the terminal (SIGHUP) is as SIGTERM, unless nohup had it ignored.
"""

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
from pathlib import Path

import uvloop
from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config
from quart import Quart

from quart_app import collector, protocols
from quart_app.http.health import begin_draining
from quart_app.latecomers import Latecomers
from quart_app.settings import Settings

CONFIG_FILE = Path("hypercorn.toml")
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
PARENT_CHECK_INTERVAL = 1.0
READ_PATIENCE_MS = 30_000
log = logging.getLogger("quart_app.server")


class BindError(Exception):
    """An address cannot be listened on."""


def make_config(settings: Settings, *, config_file: Path = CONFIG_FILE) -> Config:
    """Read *config_file* if it is there, then lay the settings over it."""
    config = Config.from_toml(config_file) if config_file.exists() else Config()
    config.bind = list(settings.bind)
    config.workers = 1
    config.worker_class = "uvloop"
    config.graceful_timeout = settings.graceful_timeout
    config.shutdown_timeout = settings.shutdown_timeout
    # Their lines go the way of all others; the access line is the app's.
    config.errorlog = logging.getLogger("hypercorn.error")
    config.accesslog = None
    config.include_server_header = False
    return config


def bind(config: Config) -> list[int]:
    """Bind the addresses of *config* now, and leave them in it as file descriptors.

    Raises BindError that says which address, and why in words.
    """
    try:
        sockets = config.create_sockets()
    except OSError as exc:
        reason = exc.strerror or str(exc)
        if exc.errno == errno.EADDRINUSE:
            reason = "another program listens there; choose another address with --bind"
        message = f"cannot listen on {', '.join(config.bind)}: {reason}"
        raise BindError(message) from exc
    bound = sockets.secure_sockets or sockets.insecure_sockets
    for sock in bound:
        _give_up_on_those_who_do_not_read(sock)
    numbers = [sock.detach() for sock in bound]
    config.bind = [f"fd://{number}" for number in numbers]
    return numbers


def _give_up_on_those_who_do_not_read(sock: socket.socket) -> None:
    """Have the kernel reset connections that take nothing of what waits for them.

    Hypercorn waits for ever for a client that does not read its answer. Connections inherit this.
    """
    if sock.family != socket.AF_UNIX and hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, READ_PATIENCE_MS)


def run(app: Quart, config: Config, *, drain_delay: float = 0.0, parent: int | None = None) -> None:
    """Serve *app* until a signal says to stop, or the process *parent* is gone."""
    protocols.mend()
    collector.relax()
    heeded = signals()
    try:
        uvloop.run(_serve(app, config, drain_delay=drain_delay, parent=parent))
    finally:
        # One more asks for what is done already; by default it would still change our exit status.
        for number in heeded:
            signal.signal(number, signal.SIG_IGN)


def signals() -> list[signal.Signals]:
    """Tell which signals mean that it is time to stop: those that are not ignored, as by nohup."""
    return [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


async def _serve(app: Quart, config: Config, *, drain_delay: float, parent: int | None) -> None:
    stopping, impatient = asyncio.Event(), asyncio.Event()

    def stop(number: int) -> None:
        if stopping.is_set() or number == signal.SIGINT:
            impatient.set()
        stopping.set()

    async def until_stopped() -> None:
        await stopping.wait()
        begin_draining(app.extensions)
        # The next answer on each connection tells its client that it was the last one there.
        config.keep_alive_max_requests = 0
        log.info("stopping: not ready any more")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(drain_delay):
                await impatient.wait()
        late.begin()

    numbers = [int(each.removeprefix("fd://")) for each in config.bind if each.startswith("fd://")]
    late = Latecomers(app, config, numbers)
    loop = asyncio.get_running_loop()
    for number in signals():
        loop.add_signal_handler(number, stop, number)
    # Blocked by a parent with several workers: what came while this one was starting is heard now.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    watch = asyncio.create_task(_stop_without(parent, stopping), name="quart_app-parent")
    try:
        await hypercorn_serve(late, config, shutdown_trigger=until_stopped, mode="asgi")
    finally:
        watch.cancel()
        late.close()
    log.info("stopped")


async def _stop_without(parent: int | None, stopping: asyncio.Event) -> None:
    """Stop when *parent* has ended without a word: nobody else would ever stop us."""
    while parent is not None and os.getppid() == parent:  # noqa: ASYNC110 - no event tells it
        await asyncio.sleep(PARENT_CHECK_INTERVAL)
    if parent is not None:
        stopping.set()
