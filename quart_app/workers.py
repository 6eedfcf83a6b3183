"""Several workers: this program again, one process each, on sockets that they share.

A worker that dies is replaced, also one that was killed. Only if all are young and one ends by itself
everything ends: the next would end the same way.
"""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from quart_app.metrics_folder import forget_worker
from quart_app.server import signals

# A worker that lived as long has served; and no place is filled again sooner than after this.
MIN_AGE = 5.0
log = logging.getLogger("quart_app.workers")


class Workers:
    """The processes that serve on the sockets of *numbers*, file descriptors."""

    def __init__(self, count: int, numbers: Sequence[int]) -> None:
        self._count = count
        self._numbers = tuple(numbers)
        self._started: dict[subprocess.Popen[bytes], float] = {}
        self._due: list[float] = []  # when to start those that replace what died young
        self._stopping = False
        self._status = 0

    def run(self) -> int:
        """Start them, hand signals on to them, and wait for their end. Tells the exit status."""
        watched = {*signals(), signal.SIGCHLD, signal.SIGALRM}
        signal.pthread_sigmask(signal.SIG_BLOCK, watched)
        for _ in range(self._count):
            self._start()
        while self._started or self._due:
            number = signal.sigwait(watched)
            if number == signal.SIGCHLD:
                self._reap()
            elif number != signal.SIGALRM:
                self._stop(number)
            self._start_due()
        return self._status

    def _start(self) -> None:
        binds = ",".join(f"fd://{number}" for number in self._numbers)
        command = [sys.executable, "-m", "quart_app", "serve", "--workers", "1"]
        command += ["--bind", binds, "--worker-of", str(os.getpid())]
        worker = subprocess.Popen(command, pass_fds=self._numbers)  # noqa: S603 - our own program
        self._started[worker] = time.monotonic()

    def _reap(self) -> None:
        now = time.monotonic()
        for worker in [worker for worker in self._started if worker.poll() is not None]:
            began = self._started.pop(worker)
            forget_worker(worker.pid)
            if self._stopping:
                continue
            log.error("worker %d ended with status %s", worker.pid, worker.returncode)
            if self._is_hopeless(worker.returncode, age=now - began, now=now):
                self._status = 1
                self._stop(signal.SIGTERM)
            else:
                self._due.append(began + MIN_AGE)

    def _is_hopeless(self, status: int, *, age: float, now: float) -> bool:
        """Tell whether the next worker would fare no better, and nobody else serves."""
        serving = any(now - began >= MIN_AGE for began in self._started.values())
        return age < MIN_AGE and status != -signal.SIGKILL and not serving

    def _start_due(self) -> None:
        now = time.monotonic()
        for due in [due for due in self._due if due <= now]:
            self._due.remove(due)
            self._start()
        if self._due:
            signal.setitimer(signal.ITIMER_REAL, max(0.001, min(self._due) - now))

    def _stop(self, number: int) -> None:
        if not self._stopping:
            # Held open here, the port would still take connections, which nobody answers.
            for listener in self._numbers:
                os.close(listener)
        self._stopping = True
        self._due.clear()
        for worker in self._started:
            worker.send_signal(number)
