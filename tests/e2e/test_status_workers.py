"""A login at one worker is good at all of them, and ends with the program."""

import hashlib
from pathlib import Path

import httpx

from tests.e2e.program import Program

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
