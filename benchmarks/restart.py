"""How soon a system gives a good answer once a restarted database accepts connections again."""

import contextlib
import http.client
import statistics
import threading
import time

import pymysql

from benchmarks.database import STARTING, Server
from benchmarks.systems import Running

GIVE_UP = 30.0
PAUSE = 0.002
TIMES = 3


def first_answer_ms(running: Running, server: Server, *, times: int = TIMES) -> float:
    """Measure it *times* times; return the median."""
    return statistics.median(_once(running, server) for _ in range(times))


def _once(running: Running, server: Server) -> float:
    """Restart the database under *running*; return the milliseconds, ``inf`` if it never heals.

    A client asks all the time, one request after the other; a request that was held during the
    outage and is answered afterwards counts.
    """
    asking = _Asking(running.port)
    try:
        time.sleep(0.3)
        server.stop()
        time.sleep(0.5)
        server.start()
        accepting = _wait_until_accepting(server)
        return asking.first_answer_since(accepting)
    finally:
        asking.stop()


def _wait_until_accepting(server: Server) -> float:
    deadline = time.monotonic() + STARTING
    while True:
        try:
            server.connect().close()
        except pymysql.err.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(PAUSE)
        else:
            return time.monotonic()


class _Asking:
    """A client in a thread of its own that notes when it got good answers."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._good: list[float] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="asking")
        self._thread.start()

    def first_answer_since(self, moment: float) -> float:
        """Wait for the first answer after *moment*; return the milliseconds between."""
        while time.monotonic() < moment + GIVE_UP:
            for answered in list(self._good):
                if answered >= moment:
                    return (answered - moment) * 1e3
            time.sleep(PAUSE)
        return float("inf")

    def stop(self) -> None:
        """Stop asking."""
        self._stopping.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._stopping.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=GIVE_UP)
            with contextlib.closing(connection), contextlib.suppress(OSError):
                connection.request("GET", "/?city=london")
                if connection.getresponse().status == http.client.OK:
                    self._good.append(time.monotonic())
            time.sleep(PAUSE)
