"""Several workers: any of them tells of all; a login at one is good at all, until the program ends."""

import hashlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.program import PATIENCE, Program

TOKEN = "made up"  # noqa: S105 # of the test's own server
SETTINGS = {"QUART_APP_TOKENS": f"ops:{hashlib.sha256(TOKEN.encode()).hexdigest()}"}
REQUESTS = 30


def cookie_of(program: Program) -> dict[str, str]:
    answer = httpx.post(f"{program.url}/status/login", data={"token": TOKEN})
    assert answer.status_code == 303
    return dict(answer.cookies)


def test_cookie_is_good_at_every_worker_of_one_start(seeded_url: str, tmp_path: Path) -> None:
    settings = {**SETTINGS, "DATABASE_URL": seeded_url, "QUART_APP_WORKERS": "2"}
    with Program(tmp_path, settings=settings) as program:
        program.wait_until("/health/ready", 200)
        cookies = cookie_of(program)
        processes = set()
        for _ in range(REQUESTS):  # each on a connection of its own: any worker may take it
            answer = httpx.get(f"{program.url}/status/data", cookies=cookies)
            assert answer.status_code == 200
            processes.add(answer.json()["process"])
    assert len(processes) == 2
    with Program(tmp_path, settings=settings) as program:
        program.wait_until("/health/ready", 200)
        assert httpx.get(f"{program.url}/status/data", cookies=cookies).status_code == 401


def told_by(program: Program, fits: Callable[[Any], bool]) -> Any:
    """What whichever worker answers tells, once it *fits*: each hears of the other once a second."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    deadline = time.monotonic() + PATIENCE
    while not fits(told := httpx.get(f"{program.url}/status/data", headers=headers).json()):
        assert time.monotonic() < deadline, told
        time.sleep(0.1)
    return told


def workers_of(told: Any) -> list[int]:
    return [worker["process"] for worker in told["workers"]]


def test_any_worker_tells_of_all(seeded_url: str, tmp_path: Path) -> None:
    workers = {"QUART_APP_WORKERS": "2", "QUART_APP_MAXSIZE": "3"}
    settings = {**SETTINGS, **workers, "DATABASE_URL": seeded_url}
    with Program(tmp_path, settings=settings) as program:
        program.wait_until("/health/ready", 200)
        # Seven seconds old: one that dies younger ends the program.
        told = told_by(program, lambda told: len(told["workers"]) == 2 and len(told["samples"]) > 7)
        assert told["state"] == "serving"
        assert told["process"] in workers_of(told)
        assert len(told["slots"]) == told["maxsize"] == 6
        seconds = [int(sample["at"]) for sample in told["samples"]]
        assert seconds == sorted(set(seconds))
        gone, stays = workers_of(told)
        os.kill(gone, signal.SIGKILL)
        told = told_by(program, lambda told: workers_of(told) not in ([gone, stays], [stays]))
        assert gone not in workers_of(told)
