"""``python -m tests.docs.transcripts``: run curl against ``quart-app dev``, write what was answered.

For the answer whose outcome is unknown a second server is started on dev's database, through the
fault proxy: the answer to COMMIT is lost, and the database cannot be reached until the deadline.
"""

import argparse
import asyncio
import hashlib
import re
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

from quart_app.local_server.folder import Folder
from quart_app.local_server.recipe import APP_USER
from quart_app.torture.cuts import Cut
from quart_app.torture.proxy import FaultProxy, Mode
from tests.docs.reference import FOLDER
from tests.docs.tables import block
from tests.e2e.program import Program

# Every answer carries them; the page shows them once.
USUAL = ("content-security-policy", "referrer-policy", "x-content-type-options", "date", "server")
LOST_ROUTE = '"$URL/students/7/chapters/3/attempts"'
BODY = '{"score": 17, "max_score": 20, "taken_at": "2026-11-01T09:30:00Z"}'
OTHER_BODY = BODY.replace("17", "20")
TOP = """# Transcripts

Recorded by `python -m tests.docs.transcripts` against `quart-app dev` (`make serve` is the same): real
commands, real answers. `$URL` is `http://127.0.0.1:8000`, `$TOKEN` the token of scope `students` that
`dev` printed when it started. Headers that every answer carries are shown in the first only."""


def attempt(key: str, body: str) -> str:
    """Write the command that records an attempt."""
    return (
        'curl -i -X POST -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \\\n'
        f"  -H 'Idempotency-Key: {key}' \\\n  -d '{body}' \\\n  {LOST_ROUTE}"
    )


def curl(command: str, url: str, token: str, *, usual: bool = False) -> str:
    """Run *command*; return it and its answer as a block."""
    done = subprocess.run(
        ["bash", "-c", command.replace("curl ", "curl -sS ")],  # noqa: S607 # the reader's shell
        env={"PATH": "/usr/bin:/bin", "URL": url, "TOKEN": token},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = done.stdout.replace("\r", "").splitlines()
    kept = [line for line in lines if usual or not line.lower().startswith(USUAL)]
    return block(f"$ {command}\n" + "\n".join(kept))


def plain(url: str, token: str, key: str) -> list[str]:
    """Record what needs no fault."""
    short = 'curl "$URL/cities?prefix=Lon&limit=2"'
    return [
        "## A city, by its name",
        curl('curl -i "$URL/?city=London"', url, token, usual=True),
        curl('curl "$URL/?city=Nowhereville"', url, token),
        "## A list of cities, and the next page",
        curl(short, url, token),
        "`next_cursor` is sent back as `cursor`, as it is.",
        "## A keyed POST",
        curl(attempt(key, BODY), url, token),
        "## The same again: its replay",
        "The attempt is there once; the answer is the stored one.",
        curl(attempt(key, BODY), url, token),
        "## The same key, another body",
        curl(attempt(key, OTHER_BODY), url, token),
        "## No key",
        curl(attempt("", BODY).replace("  -H 'Idempotency-Key: ' \\\n", ""), url, token),
    ]


async def unknown(port: int, database_url: str, token: str, folder: Path) -> list[str]:
    """Record an answer whose outcome is unknown, and how it is found out."""
    hashed = hashlib.sha256(token.encode()).hexdigest()
    command = attempt(secrets.token_hex(8), BODY.replace("09:30", "10:45"))
    async with FaultProxy("127.0.0.1", port) as proxy:
        through = database_url.format(port=proxy.port)
        settings = {"DATABASE_URL": through, "QUART_APP_TOKENS": f"students:{hashed}"}
        server = await asyncio.to_thread(Program, folder, settings=settings)
        try:
            await asyncio.to_thread(server.wait_until, "/health/ready", 200)
            proxy.lose_answers(b"COMMIT", Cut.SILENCE)
            asking = asyncio.create_task(asyncio.to_thread(curl, command, server.url, token))
            while not proxy.struck:  # noqa: ASYNC110 # the proxy counts, and tells nobody
                await asyncio.sleep(0.01)
            await proxy.switch(Mode.REFUSE)
            lost = await asking
            proxy.mend()
            await proxy.switch(Mode.PASS)
            await asyncio.to_thread(server.wait_until, "/health/ready", 200)
            found = await asyncio.to_thread(curl, command, server.url, token)
        finally:
            await asyncio.to_thread(server.kill)
    how = (
        "COMMIT was sent, its answer was lost in the network, and the database could not be reached"
        " again before the request's deadline of 10 s. Had it been reachable, the key would have"
        " resolved the outcome and the answer would have been 201."
    )
    again = (
        "With the key, sending it again is safe. The database is back; the attempt turns out to have"
        " been recorded, and is not recorded twice:"
    )
    return ["## 503 `outcome-unknown`", how, lost, again, found]


def record(data: Path) -> str:
    """Record everything; return the page."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Program(Path(folder), "dev", "--data", str(data), settings={}) as dev,
    ):
        match = re.search(r"token of scope students: (\S+)", dev.log)
        assert match is not None, dev.log
        parts = plain(dev.url, match[1], secrets.token_hex(8))
        memory = Folder(data).remembered()
        url = f"mysql://{APP_USER}:{memory.app_password}@127.0.0.1:{{port}}/quart_app"
        url += "?ssl_mode=disabled"
        parts += asyncio.run(unknown(memory.port, url, match[1], Path(folder)))
        dev.terminate()
        dev.wait()
    return "\n\n".join([TOP, *parts]) + "\n"


def main() -> int:
    """Write docs/reference/transcripts.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(".local/dev"), help="dev's data folder")
    text = record(parser.parse_args().data)
    (FOLDER / "transcripts.md").write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
