"""The fixtures `faults`, `app` and `client` on real servers, and the guide's own example."""

import asyncio
import re
from pathlib import Path

import pytest
from quart import Blueprint, Quart
from quart.typing import TestClientProtocol as Client

from quart_app.extension import current_session
from quart_app.torture.faults import Faults

GUIDE = Path(__file__).parents[2] / "docs/how_to_guides/test_your_blueprint.md"
blueprint = Blueprint("straightforward", __name__)


@blueprint.get("/count")
async def count() -> str:
    """Count as anybody would write it: nothing in here knows of trouble."""
    async with current_session().pool.acquire() as connection, connection.cursor() as cursor:
        await cursor.execute("SELECT COUNT(*) FROM city")
        return str((await cursor.fetchone())[0])


@blueprint.post("/country")
async def add_country() -> str:
    """Write as anybody would."""
    async with current_session().pool.acquire() as connection, connection.cursor() as cursor:
        await cursor.execute("INSERT INTO dataset (name, version) VALUES (UUID(), '1')")
    return "done"


@pytest.fixture(name="app")
def _app(app: Quart) -> Quart:
    app.register_blueprint(blueprint)
    return app


async def _status(client: Client) -> int:
    return (await client.get("/count")).status_code


@pytest.mark.parametrize("fault", Faults.MOMENTARY)
async def test_blueprint_survives(client: Client, faults: Faults, fault: str) -> None:
    assert await _status(client) == 200
    await faults.strike(fault)
    assert await _status(client) == 200


async def test_kills_are_counted(client: Client, faults: Faults) -> None:
    assert await _status(client) == 200
    assert await faults.connections() == await faults.kill_idle()


async def test_request_is_held_while_the_server_is_killed_and_started(
    client: Client, faults: Faults
) -> None:
    assert await _status(client) == 200
    await faults.kill_server()
    held = asyncio.create_task(_status(client))
    await faults.start()
    assert await held == 200


async def test_request_is_held_while_the_server_is_frozen(client: Client, faults: Faults) -> None:
    assert await _status(client) == 200
    async with faults.frozen():
        held = asyncio.create_task(_status(client))
        await asyncio.sleep(0.3)
        assert not held.done()
    assert await held == 200


@pytest.mark.parametrize("name", ["silent", "refusing"])
async def test_request_is_held_while_the_network_is_away(
    client: Client, faults: Faults, name: str
) -> None:
    assert await _status(client) == 200
    async with getattr(faults, name)():
        held = asyncio.create_task(_status(client))
        await asyncio.sleep(0.3)
        assert not held.done()
    assert await held == 200


async def test_delay_is_felt(client: Client, faults: Faults) -> None:
    assert await _status(client) == 200
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with faults.delayed(0.1):
        assert await _status(client) == 200
    assert loop.time() - began >= 0.2


async def test_write_is_held_while_the_server_is_read_only(client: Client, faults: Faults) -> None:
    assert await _status(client) == 200
    async with faults.read_only():
        held = asyncio.create_task(client.post("/country"))
        await asyncio.sleep(0.3)
        assert not held.done()
    assert (await held).status_code == 200


async def test_full_house_is_served_by_the_connections_at_hand(
    client: Client, faults: Faults
) -> None:
    assert await _status(client) == 200
    async with faults.full_house():
        statuses = await asyncio.gather(*(_status(client) for _ in range(8)))
    assert set(statuses) == {200}


def test_example_of_the_guide_runs(pytester: pytest.Pytester) -> None:
    notes, conftest, test = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (ini,) = re.findall(r"```ini\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    pytester.makepyfile(notes=notes, conftest=conftest, test_notes=test)
    pytester.makeini(ini)
    result = pytester.runpytest_subprocess("--server", "mariadb", "-p", "no:randomly")
    result.assert_outcomes(passed=len(Faults.MOMENTARY))
