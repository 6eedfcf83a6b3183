"""Requests made up from the API's own description: each answer is one that it documents, none a 500."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quart_app.testing.servers import Server
from tests.e2e.program import Program, environment, run

EXAMPLES = 25
TOKEN = "token"  # noqa: S105 # of a throw-away program
# Not all rules of what is valid can be told in a schema: cursors, dates in the future.
UNFAIR = "positive_data_acceptance"
pytestmark = [pytest.mark.mysql, pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest.fixture(name="program")
def _program(mysql_server: Server, tmp_path: Path) -> Iterator[Program]:
    """The program with all its data, in a database that may be written to."""
    url = mysql_server.new_database()
    for command in ("migrate", "seed"):
        assert run(command, DATABASE_URL=url).returncode == 0
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    settings = {"DATABASE_URL": url, "QUART_APP_TOKENS": f"students:{digest},ops:{digest}"}
    with Program(tmp_path, settings=settings) as program:
        yield program
    mysql_server.drop_database(url)


def test_api_answers_made_up_requests_as_it_documents(program: Program, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("schemathesis")), "run"]
    command += [f"{program.url}/openapi.json", f"--header=Authorization: Bearer {TOKEN}"]
    command += ["--phases=examples,coverage,fuzzing", f"--max-examples={EXAMPLES}"]
    # One worker: on Python 3.11 two threads that parse at once fail each other (cpython #106905).
    command += [f"--exclude-checks={UNFAIR}", "--workers=1", "--no-color"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "Tested: " in done.stdout
    assert "Traceback" not in program.log
    assert "unhandled" not in program.log
