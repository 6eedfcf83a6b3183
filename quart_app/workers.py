"""Several workers: this program again, one process each, on sockets that they share.

A worker that dies is replaced. One that dies at once is not: the next would die the same way.
"""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from quart_app.metrics_folder import forget_worker
from quart_app.server import SIGNALS

MIN_AGE = 5.0
log = logging.getLogger("quart_app.workers")


class Workers:
    """The processes that serve on the sockets of *numbers*, file descriptors."""

    def __init__(self, count: int, numbers: Sequence[int]) -> None:
        self._count = count
        self._numbers = tuple(numbers)
        self._started: dict[subprocess.Popen[bytes], float] = {}
        self._stopping = False
        self._status = 0

    def run(self) -> int:
        """Start them, hand signals on to them, and wait for their end. Tells the exit status."""
        watched = {*SIGNALS, signal.SIGCHLD}
        signal.pthread_sigmask(signal.SIG_BLOCK, watched)
        for _ in range(self._count):
            self._start()
        while self._started:
            number = signal.sigwait(watched)
            if number == signal.SIGCHLD:
                self._reap()
            else:
                self._stop(number)
        return self._status

    def _start(self) -> None:
        binds = ",".join(f"fd://{number}" for number in self._numbers)
        command = [sys.executable, "-m", "quart_app", "serve", "--workers", "1"]
        command += ["--bind", binds, "--worker-of", str(os.getpid())]
        worker = subprocess.Popen(command, pass_fds=self._numbers)  # noqa: S603 - our own program
        self._started[worker] = time.monotonic()

    def _reap(self) -> None:
        for worker in [worker for worker in self._started if worker.poll() is not None]:
            age = time.monotonic() - self._started.pop(worker)
            forget_worker(worker.pid)
            if self._stopping:
                continue
            log.error("worker %d ended with status %s", worker.pid, worker.returncode)
            if age < MIN_AGE:
                self._status = 1
                self._stop(signal.SIGTERM)
            else:
                self._start()

    def _stop(self, number: int) -> None:
        self._stopping = True
        for worker in self._started:
            worker.send_signal(number)
