"""`quart-app serve` as a process, over real connections."""

import asyncio
import contextlib
import json
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pymysql
import pytest
from h2.errors import ErrorCodes

from quart_app.local_server.folder import free_port
from quart_app.testing.servers import Server
from tests.e2e.http2 import Http2Client
from tests.e2e.program import PATIENCE, Program, run

IN_FLIGHT = 5
LONDON = 2643743
# A page of cities has a statement of its own; lookups of one city share theirs.
PAGES = [f"/cities?name=London&limit={limit}" for limit in range(1, IN_FLIGHT + 1)]
IMPATIENT = {
    "QUART_APP_PROBE_TIMEOUT": "0.5",
    "QUART_APP_CONNECT_TIMEOUT": "1",
    "QUART_APP_ACQUIRE_TIMEOUT": "1.5",
    "QUART_APP_REQUEST_TIMEOUT": "2",
}

# Python takes its modules apart: its own handlers of signals are not there any more.
LAST_MOMENT = """
import os
class Late:
    def __del__(self, kill=os.kill, me=os.getpid()):
        kill(me, {number})
late = Late()
"""

STOPPED_WHILE_STARTING = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
os.kill(os.getpid(), signal.SIGTERM)
"""

# Requests are held until their deadline: on a busy machine a restart may take longer than 10 s.
PATIENT = {
    "QUART_APP_REQUEST_TIMEOUT": str(PATIENCE - 10),
    "QUART_APP_GRACEFUL_TIMEOUT": str(PATIENCE - 5),
    "QUART_APP_SHUTDOWN_TIMEOUT": str(PATIENCE),
}


@pytest.fixture(name="program")
def _program(seeded_url: str, tmp_path: Path) -> Iterator[Program]:
    with Program(tmp_path, settings={"DATABASE_URL": seeded_url}) as program:
        yield program


@contextlib.asynccontextmanager
async def _client(program: Program, *, http2: bool = False) -> AsyncIterator[httpx.AsyncClient]:
    """Speak one protocol only: HTTP/1.1, or HTTP/2 by prior knowledge."""
    async with httpx.AsyncClient(
        base_url=program.url, http1=not http2, http2=http2, timeout=PATIENCE
    ) as client:
        yield client


@contextlib.contextmanager
def _locked(server: Server, url: str, table: str) -> Iterator[None]:
    """Make every statement on *table* wait until the block ends."""
    parts = urlsplit(server.admin_url)
    connection = pymysql.connect(
        host=parts.hostname or "",
        port=parts.port or 0,
        user=parts.username,
        password=parts.password or "",
        database=urlsplit(url).path[1:],
    )
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLES {table} WRITE")
        yield


def _first_city(page: bytes) -> int:
    number: int = json.loads(page)["cities"][0]["city_id"]
    return number


def _waiting(server: Server) -> int:
    """Return how many statements wait for a lock on a table."""
    states = server.execute(
        "SELECT state FROM information_schema.processlist WHERE state LIKE 'Waiting for table%'"
    )
    return len(states)


def _wait_for_waiters(server: Server) -> None:
    """Wait until all that is asked is under way."""
    deadline = time.monotonic() + PATIENCE
    while _waiting(server) < IN_FLIGHT:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(("http2", "version"), [(False, "HTTP/1.1"), (True, "HTTP/2")])
async def test_city_is_found_over_both_protocols(
    program: Program, http2: bool, version: str
) -> None:
    async with _client(program, http2=http2) as client:
        found = await client.get("/", params={"city": "London"})
        missing = await client.get("/", params={"city": "Nowhereville"})
    assert found.http_version == version
    assert found.text.rstrip() == 'City "London" is #2643743'
    assert missing.text.rstrip() == 'City "Nowhereville" not found'


async def test_page_of_cities_follows_its_cursor(program: Program) -> None:
    async with _client(program) as client:
        first = (await client.get("/cities?prefix=Lon&limit=3")).json()
        second = (
            await client.get(
                "/cities", params={"prefix": "Lon", "limit": 3, "cursor": first["next_cursor"]}
            )
        ).json()
    names = [city["city"] for page in (first, second) for city in page["cities"]]
    assert len(names) == 6
    assert all(name.startswith("Lon") for name in names)


async def test_many_streams_of_one_http2_connection_are_answered(program: Program) -> None:
    async with _client(program, http2=True) as client:
        answers = await asyncio.gather(*(client.get("/?city=Paris") for _ in range(100)))
    assert {answer.text.rstrip() for answer in answers} == {'City "Paris" is #2988507'}


@pytest.mark.parametrize(
    ("number", "workers"),
    [(signal.SIGTERM, 1), (signal.SIGTERM, 2), (signal.SIGHUP, 1)],
    ids=["SIGTERM", "SIGTERM, two workers", "SIGHUP"],
)
async def test_signal_drops_no_request_in_flight(
    mysql_server: Server, seeded_url: str, tmp_path: Path, number: signal.Signals, workers: int
) -> None:
    settings = {"DATABASE_URL": seeded_url, "QUART_APP_WORKERS": str(workers)}
    with Program(tmp_path, settings=settings) as program:
        async with _client(program) as client:
            with _locked(mysql_server, seeded_url, "city"):
                requests = [asyncio.create_task(client.get(page)) for page in PAGES]
                await asyncio.to_thread(_wait_for_waiters, mysql_server)
                program.process.send_signal(number)
                await asyncio.to_thread(program.wait_until_refusing)
            answers = await asyncio.gather(*requests)
        assert [_first_city(answer.content) for answer in answers] == [LONDON] * IN_FLIGHT
        assert await asyncio.to_thread(program.wait) == 0, program.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_in_the_last_moment_changes_no_exit_status(
    seeded_url: str, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "sitecustomize.py").write_text(LAST_MOMENT.format(number=int(number)))
    settings = {"DATABASE_URL": seeded_url, "PYTHONPATH": str(tmp_path)}
    with Program(tmp_path, settings=settings) as program:
        program.terminate()
        assert await asyncio.to_thread(program.wait) == 0, program.log


def test_worker_that_is_stopped_while_it_starts_takes_leave(
    seeded_url: str, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(STOPPED_WHILE_STARTING)
    bind = f"127.0.0.1:{free_port()}"
    settings = {"DATABASE_URL": seeded_url, "PYTHONPATH": str(tmp_path), "QUART_APP_BIND": bind}
    done = run("serve", **settings)
    assert done.returncode == 0, done.stdout
    assert "stopping: not ready any more" in done.stdout


async def test_sigterm_drops_no_stream_in_flight(
    program: Program, mysql_server: Server, seeded_url: str
) -> None:
    client = await Http2Client.connect(program.port)
    with _locked(mysql_server, seeded_url, "city"):
        await client.send(*PAGES)
        await asyncio.to_thread(_wait_for_waiters, mysql_server)
        program.terminate()
        await asyncio.to_thread(program.wait_until_refusing)
    answers = await client.answers()
    await client.close()
    assert [_first_city(answer.body) for answer in answers] == [LONDON] * IN_FLIGHT
    assert await asyncio.to_thread(program.wait) == 0, program.log


async def test_stream_that_comes_too_late_may_go_elsewhere(
    program: Program, mysql_server: Server, seeded_url: str
) -> None:
    client = await Http2Client.connect(program.port)
    with _locked(mysql_server, seeded_url, "city"):
        await client.send(*PAGES)
        await asyncio.to_thread(_wait_for_waiters, mysql_server)
        program.terminate()
        await asyncio.to_thread(program.wait_until_refusing)
        await client.send("/?city=London")
    *answers, late = await client.answers()
    await client.close()
    assert all(answer.whole for answer in answers)
    assert (late.whole, late.error) == (False, ErrorCodes.REFUSED_STREAM)


async def test_idle_connections_do_not_hold_up_the_end(program: Program) -> None:
    async with _client(program) as client:
        assert (await client.get("/?city=London")).status_code == 200
        program.terminate()
        assert await asyncio.to_thread(program.wait) == 0, program.log


async def test_every_worker_ends_cleanly(seeded_url: str, tmp_path: Path) -> None:
    settings = {"DATABASE_URL": seeded_url, "QUART_APP_WORKERS": "2"}
    with Program(tmp_path, settings=settings) as program:
        async with _client(program) as client:
            assert (await client.get("/?city=London")).status_code == 200
        program.terminate()
        assert await asyncio.to_thread(program.wait) == 0, program.log


async def test_database_down_at_start_heals_without_a_restart(
    breakable_server: Server, tmp_path: Path
) -> None:
    url = breakable_server.new_database()
    assert run("migrate", DATABASE_URL=url).returncode == 0
    await asyncio.to_thread(breakable_server.process.kill)
    with Program(tmp_path, settings={"DATABASE_URL": url, **IMPATIENT}) as program:
        async with _client(program) as client:
            ready = await client.get("/health/ready")
            refused = await client.get("/?city=London")
            assert (ready.status_code, refused.status_code) == (503, 503)
            assert refused.headers["content-type"] == "application/problem+json"
            assert int(refused.headers["retry-after"]) >= 1
            await asyncio.to_thread(breakable_server.process.start)
            await asyncio.to_thread(program.wait_until, "/health/ready", 200)
            assert (await client.get("/?city=London")).status_code == 200


async def test_restart_of_the_database_costs_no_request(
    breakable_server: Server, tmp_path: Path
) -> None:
    url = breakable_server.new_database()
    assert run("migrate", DATABASE_URL=url).returncode == 0
    with Program(tmp_path, settings={"DATABASE_URL": url, **PATIENT}) as program:
        async with _client(program) as client:
            restarting = asyncio.create_task(asyncio.to_thread(breakable_server.process.restart))
            statuses = set()
            while not restarting.done():
                statuses.add((await client.get("/?city=London")).status_code)
            await restarting
            statuses.add((await client.get("/?city=London")).status_code)
    assert statuses == {200}


def test_port_that_is_taken_is_named(seeded_url: str) -> None:
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        port = str(somebody.getsockname()[1])
        bind = f"127.0.0.1:{port}"
        done = run("serve", DATABASE_URL=seeded_url, QUART_APP_BIND=bind)
    assert done.returncode != 0
    assert port in done.stdout
    assert "Traceback" not in done.stdout


def test_wrong_settings_are_all_listed_and_no_secret_shown() -> None:
    done = run("serve", DATABASE_URL="mysql://me:s3cret@host", QUART_APP_MAXSIZE="few")
    assert done.returncode == 2
    assert "DATABASE_URL" in done.stdout
    assert "QUART_APP_MAXSIZE" in done.stdout
    assert "s3cret" not in done.stdout
