"""A database with the real data, made by the program's own commands."""

import pytest

from quart_app.testing.servers import Server
from tests.e2e.program import run

SEEDED = pytest.StashKey[dict[str, str]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder."""
    for item in items:
        if item.path.is_relative_to(__file__.rpartition("/")[0]):
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(name="seeded_url")
def _seeded_url(mysql_server: Server, request: pytest.FixtureRequest) -> str:
    """The URL of a database with all cities, made once for each server. Tests only read it."""
    seeded = request.config.stash.setdefault(SEEDED, {})
    if mysql_server.kind not in seeded:
        url = mysql_server.new_database()
        for command in ("migrate", "seed"):
            done = run(command, DATABASE_URL=url)
            assert done.returncode == 0, done.stdout
        seeded[mysql_server.kind] = url
    return seeded[mysql_server.kind]
