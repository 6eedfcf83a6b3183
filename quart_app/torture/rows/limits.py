"""Rows 14, 16 to 18: clients and handlers that behave badly."""

import asyncio
import contextlib

from quart_app.torture import client
from quart_app.torture.client import Answer, Client, NoAnswer
from quart_app.torture.faults import Faults
from quart_app.torture.outcome import Outcome, outcome_of
from quart_app.torture.program import TOKEN, Program
from quart_app.torture.rows.row import REQUEST_TIMEOUT, Row
from quart_app.torture.scene import AFTER, Scene

LEAVING = 6
CALLERS = 40
LEAKS = 2
MEBIBYTE = 1024 * 1024
CLIENT_ERRORS = range(400, 500)
_JSON = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
_ATTEMPTS = "/students/1/chapters/1/attempts"
INJECTIONS = ("' OR '1'='1", "%27;DROP%20TABLE%20city;--", "%00", "\\", "%s", "%F0%9F%92%A5")


async def _clients_leave(scene: Scene, row: Row) -> None:
    """Clients hang up in the middle of a statement of 30 s."""
    async with scene.program(row.settings) as program:
        async with scene.load(program):
            leaving = [_ask_and_leave(program) for _ in range(LEAVING)]
            with scene.outage():
                await asyncio.gather(*leaving)
            await asyncio.sleep(1.0)
            left = await _sleeping(scene.faults)
            scene.expect(not left, f"{left} statements run on, 1 s after their clients left")
        await scene.count_leaks(program)


async def _ask_and_leave(program: Program) -> None:
    async with Client(program.port) as leaving:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await leaving.get("/torture/sleep/30.0")


async def _sleeping(faults: Faults) -> int:
    sql = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = %s AND info LIKE %s"
    async with faults.admin() as admin:
        return int((await admin.run(sql, (faults.user, "SELECT SLEEP%"))).rows[0][0])


async def _too_many_callers(scene: Scene, row: Row) -> None:
    """Forty callers, two connections, room for eight to wait."""
    async with scene.program(row.settings) as program:
        await client.until(program.port, "/health/ready", 200, timeout=REQUEST_TIMEOUT)
        asked = [_timed(program, "/torture/sleep/0.5") for _ in range(CALLERS)]
        answers = await asyncio.gather(*asked)
        turned_away = [
            waited for waited, answer in answers if outcome_of(answer)[0] is Outcome.UNAVAILABLE
        ]
        served = sum(outcome_of(answer)[0] is Outcome.OK for _, answer in answers)
        scene.expect(served, "nobody was served")
        scene.expect(len(turned_away) + served == CALLERS, "somebody got another answer")
        scene.expect(turned_away and min(turned_away) < 1.0, "nobody was turned away at once")
        longest = max(waited for waited, _ in answers)
        scene.expect(longest < row.longest, f"somebody waited {longest:.1f} s")
        await scene.count_leaks(program)


async def _timed(program: Program, path: str) -> tuple[float, Answer]:
    clock = asyncio.get_running_loop().time
    began = clock()
    answer = await client.once(program.port, path)
    return clock() - began, answer


async def _hostile(scene: Scene, row: Row) -> None:
    """Requests that are too large, too slow, or not what they say they are."""
    async with scene.program(row.settings) as program:
        async with scene.load(program):
            with scene.outage():
                for text in INJECTIONS:
                    answer = await client.once(program.port, f"/?city={text.replace(' ', '%20')}")
                    scene.expect(answer.status in (200, *CLIENT_ERRORS), f"{text}: {answer.status}")
                for name, path, body in _bodies():
                    status = await _posted(program, path, body)
                    scene.expect(status in CLIENT_ERRORS, f"{name}: {status}")
                await _slow_body(scene, program)
            await asyncio.sleep(AFTER)
        await scene.count_leaks(program)


def _bodies() -> list[tuple[str, str, bytes]]:
    moment = b'"taken_at": "2026-01-01T00:00:00Z"'
    return [
        ("too large a body", _ATTEMPTS, b"x" * (2 * MEBIBYTE)),
        ("bad UTF-8", _ATTEMPTS, b'{"score": "\xff"}'),
        ("no JSON", _ATTEMPTS, b"score=1"),
        ("too large a number", _ATTEMPTS, b'{"score": 1e300, "max_score": 1, ' + moment + b"}"),
        ("too large an id", "/students/99999999999999999999/chapters/1/attempts", b"{}"),
        ("a negative score", _ATTEMPTS, b'{"score": -1, "max_score": 1, ' + moment + b"}"),
    ]


async def _posted(program: Program, path: str, body: bytes) -> int:
    headers = {**_JSON, "Idempotency-Key": "hostile"}
    try:
        return (
            await client.once(program.port, path, method="POST", headers=headers, body=body)
        ).status
    except NoAnswer:  # it was answered and closed before we had sent it all
        return CLIENT_ERRORS.start


async def _slow_body(scene: Scene, program: Program) -> None:
    """A body of which one byte comes, and no more."""
    clock = asyncio.get_running_loop().time
    began = clock()
    headers = {**_JSON, "Idempotency-Key": "slow", "Content-Length": "100"}
    lines = [f"POST {_ATTEMPTS} HTTP/1.1", "Host: x", *(f"{k}: {v}" for k, v in headers.items())]
    reader, writer = await asyncio.open_connection("127.0.0.1", program.port)
    writer.write("\r\n".join([*lines, "", "{"]).encode())
    answer = await reader.read(20)
    writer.close()
    limit = float(REQUEST_TIMEOUT) + 2
    scene.expect(answer and clock() - began < limit, "a slow body is waited for without end")


async def _rude_handlers(scene: Scene, row: Row) -> None:
    """Handlers that never give back, and one that blocks the loop."""
    async with scene.program(row.settings) as program:
        async with scene.load(program, clients=4):
            with scene.outage():
                for _ in range(LEAKS):
                    await client.once(program.port, "/torture/leak", method="POST")
                await client.once(program.port, "/torture/starve/2.5", method="POST")
            await asyncio.sleep(2.5)
        await scene.count_leaks(program)
        leaks = (await program.state()).pool.leaks
        scene.expect(leaks >= LEAKS, f"{leaks} of {LEAKS} leaks were reported")
        scene.expect("in leak" in program.log, "the log does not name who leaked")
        scene.expect("event loop was blocked" in program.log, "a blocked loop was not reported")


ROWS = (
    Row(number="14", title="clients go away in mid-query", play=_clients_leave),
    Row(
        number="16",
        title="more callers than connections",
        play=_too_many_callers,
        settings={"QUART_APP_MAXSIZE": "2", "QUART_APP_MAX_WAITING": "8"},
    ),
    Row(number="17", title="hostile requests", play=_hostile, quick=False),
    Row(
        number="18",
        title="handlers that leak, and one that blocks the loop",
        play=_rude_handlers,
        settings={"QUART_APP_LEAK_THRESHOLD": "1"},
    ),
)
