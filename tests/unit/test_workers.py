"""Which workers are started, and what becomes of them; processes, signals and the clock are made up."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from quart_app import workers
from quart_app.workers import MIN_AGE, Workers

LISTENER = 77
Step = Callable[["System"], int]


class Process:
    """A worker that does nothing, and ends when it is told to."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.signals: list[int] = []

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        self.signals.append(number)


class System:
    """What the parent sees: *steps* say, one by one, which signal comes and what happened by then."""

    def __init__(self, *steps: Step) -> None:
        self.now = 100.0
        self.steps = list(steps)
        self.processes: list[Process] = []
        self.timer: float | None = None
        self.closed: list[int] = []

    def start(self, *_: object, **__: object) -> Process:
        self.processes.append(Process(len(self.processes)))
        return self.processes[-1]

    def wait(self, _: set[int]) -> int:
        return self.steps.pop(0)(self)

    def set_timer(self, _: int, seconds: float) -> None:
        self.timer = seconds


def _after(seconds: float, *, ended: dict[int, int]) -> Step:
    """Some time later processes have *ended*: number -> exit status."""

    def step(system: System) -> int:
        system.now += seconds
        for number, status in ended.items():
            system.processes[number].returncode = status
        return signal.SIGCHLD

    return step


def _ring(system: System) -> int:
    assert system.timer is not None
    system.now += system.timer
    return signal.SIGALRM


def _terminate(_: System) -> int:
    return signal.SIGTERM


@pytest.fixture(name="run")
def _run(monkeypatch: pytest.MonkeyPatch) -> Callable[[System], int]:
    def run(system: System) -> int:
        fakes: list[tuple[object, str, Any]] = [
            (subprocess, "Popen", system.start),
            (signal, "sigwait", system.wait),
            (signal, "setitimer", system.set_timer),
            (signal, "pthread_sigmask", lambda *_: None),
            (os, "close", system.closed.append),
            (time, "monotonic", lambda: system.now),
            (workers, "forget_worker", lambda _: None),
        ]
        with monkeypatch.context() as patch:
            for owner, name, fake in fakes:
                patch.setattr(owner, name, fake)
            status = Workers(2, [LISTENER]).run()
        assert system.steps == []
        return status

    return run


def test_stopping_closes_the_port_here_too(run: Callable[[System], int]) -> None:
    system = System(_terminate, _terminate, _after(1.0, ended={0: 0, 1: 0}))
    assert run(system) == 0
    assert system.closed == [LISTENER]
    assert [process.signals for process in system.processes] == [[signal.SIGTERM] * 2] * 2


def test_worker_that_served_is_replaced_at_once(run: Callable[[System], int]) -> None:
    system = System(_after(MIN_AGE, ended={0: 1}), _terminate, _after(1.0, ended={1: 0, 2: 0}))
    assert run(system) == 0
    assert len(system.processes) == 3


def test_start_in_vain_ends_everything(run: Callable[[System], int]) -> None:
    system = System(_after(1.0, ended={0: 2}), _after(1.0, ended={1: 0}))
    assert run(system) == 1
    assert len(system.processes) == 2
    assert system.processes[1].signals == [signal.SIGTERM]


@pytest.mark.parametrize(
    ("age", "status"),
    [(1.0, -signal.SIGKILL), (MIN_AGE, 1)],
    ids=["killed", "beside one that serves"],
)
def test_young_worker_is_replaced_in_a_while(
    run: Callable[[System], int], age: float, status: int
) -> None:
    system = System(
        _after(age, ended={0: -signal.SIGKILL}),
        *([_ring] if age < MIN_AGE else []),
        _after(1.0, ended={2: status}),
        _ring,
        _terminate,
        _after(1.0, ended={1: 0, 3: 0}),
    )
    assert run(system) == 0
    assert len(system.processes) == 4
    assert system.timer == pytest.approx(MIN_AGE - 1.0)


def test_nobody_is_started_any_more_while_stopping(run: Callable[[System], int]) -> None:
    system = System(_after(1.0, ended={0: -signal.SIGKILL}), _terminate, _after(1.0, ended={1: 0}))
    assert run(system) == 0
    assert len(system.processes) == 2
