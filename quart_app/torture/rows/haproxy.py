"""Row 10 behind HAProxy: one address, and the server behind it is another one from some moment on."""

import asyncio
from contextlib import AsyncExitStack

from quart_app.database_url import parse_database_url
from quart_app.mysql.connector import MySQLDriver
from quart_app.mysql.driver import Connection
from quart_app.mysql.errors import DatabaseError
from quart_app.torture.client import Client
from quart_app.torture.faults import Faults
from quart_app.torture.haproxy import HAProxy, program
from quart_app.torture.hosts import address
from quart_app.torture.program import Program
from quart_app.torture.rows.cluster import in_cluster, kill
from quart_app.torture.rows.row import HELD, Play, Row
from quart_app.torture.scene import Scene

LEAVING = 6
ASLEEP = 4.0
# A server that takes part in a cluster hands out numbers of its own; so many are looked at for a match.
MOST_STRANGERS = 200
SLEEPING = "SELECT id FROM information_schema.processlist WHERE user = %s AND info LIKE %s"


async def no_haproxy(_faults: Faults) -> str:
    """Tell that HAProxy is not installed."""
    return "" if program() else "haproxy not found; on Debian: sudo apt-get install -y haproxy"


def behind(play: Play) -> Play:
    """Play the same with HAProxy between the program and the cluster."""

    async def played(scene: Scene, row: Row) -> None:
        with _front(scene) as front:
            scene.url = front.before(scene.url)
            await play(scene, row)

    return played


def _front(scene: Scene) -> HAProxy:
    servers = [address(faults.server.url) for faults in (scene.faults, *scene.bench.others)]
    return HAProxy(scene.bench.folder / "haproxy", servers)


async def _kill_spares_strangers(scene: Scene, row: Row) -> None:
    """Clients leave in mid-statement, and the address leads to another server when it is to be ended.

    That server has sessions with the very numbers, of the very user: they are somebody else's.
    """
    used, stand_in, *_ = scene.faults, *scene.bench.others
    with _front(scene) as front:
        scene.url = front.before(scene.url)
        async with AsyncExitStack() as stack:
            await _count_past(used, await _next_number(stand_in))
            program = await stack.enter_async_context(scene.program(row.settings))
            leaving = [asyncio.create_task(_ask_and_leave(program)) for _ in range(LEAVING)]
            await asyncio.sleep(0.4)
            numbers = await _sleepers(used)
            scene.expect(len(numbers) == LEAVING, f"{len(numbers)} statements began")
            strangers = await _strangers(stand_in, numbers, stack)
            scene.expect(strangers, "no stranger has such a number, so none was in danger")
            with scene.outage():
                front.take_out(1)
                await asyncio.gather(*leaving)
                await asyncio.sleep(1.5)
            alive = sum([await _lives(stranger) for stranger in strangers])
            scene.note_healed()
            scene.notes.append(f"{alive} of {len(strangers)} sessions of the same number live")
            scene.expect(alive == len(strangers), "a stranger's session was killed")
            state = (await program.state()).pool
            scene.expect(not state.active, f"{state.active} connections were not given back")


async def _ask_and_leave(program: Program) -> None:
    async with Client(program.port) as leaving:
        try:
            async with asyncio.timeout(1.5):
                await leaving.get(f"/torture/sleep/{ASLEEP}")
        except TimeoutError:
            pass


async def _sleepers(faults: Faults) -> set[int]:
    async with faults.admin() as admin:
        rows = (await admin.run(SLEEPING, (faults.user, "SELECT SLEEP%"))).rows
    return {int(number) for (number,) in rows}


async def _connect(faults: Faults) -> Connection:
    return await MySQLDriver(parse_database_url(faults.server.url)).connect()


async def _next_number(faults: Faults) -> int:
    connection = await _connect(faults)
    connection.abort()
    return connection.server.thread_id + 1


async def _count_past(faults: Faults, number: int) -> None:
    """Have *faults*' server give no number below *number* any more."""
    while await _next_number(faults) <= number:
        pass


async def _strangers(faults: Faults, numbers: set[int], stack: AsyncExitStack) -> list[Connection]:
    """Sessions at *faults*' server that have *numbers*, as far as it gives them to us."""
    found: list[Connection] = []
    for _ in range(MOST_STRANGERS):
        connection = await _connect(faults)
        stack.callback(connection.abort)
        if connection.server.thread_id in numbers:
            found.append(connection)
        if connection.server.thread_id >= max(numbers, default=0):
            break
    return found


async def _lives(connection: Connection) -> bool:
    try:
        await connection.run("SELECT 1")
    except DatabaseError:
        return False
    return True


ROWS = (
    Row(
        number="10h",
        title="one address of HAProxy: node in use killed",
        play=behind(in_cluster(kill)),
        promise=HELD,
        missing=no_haproxy,
    ),
    Row(
        number="10i",
        title="one address, another server: KILL spares it",
        play=_kill_spares_strangers,
        missing=no_haproxy,
    ),
)
