"""``quart-app``: thin commands over the modules that do the work.

Exit status: 0 done, 1 it did not work (said why), 2 wrong settings or usage.
"""

import asyncio
import contextlib
import hashlib
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from quart_app import __version__, logs
from quart_app.diagnosis import explain
from quart_app.doctor.command import doctor
from quart_app.mysql.errors import DatabaseError
from quart_app.settings import Settings, SettingsError
from quart_app.tokens import Scope
from quart_app.torture.command import torture

if TYPE_CHECKING:
    from hypercorn.config import Config

    from quart_app.local_server import LocalServer

NO_SUCH_TABLE = 1146
# Something that a token of each scope opens.
OPENED = {Scope.STUDENTS: "/students/1/chapters/1", Scope.OPS: "/status"}
MAX_WAIT = 24 * 3600  # to the server a negative number means: for ever
# Imports within commands: each loads what it needs, and --help answers at once.


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="quart-app")
def main() -> None:
    """An HTTP API over MySQL and MariaDB that never answers "server has gone away".

    Settings come from the environment: DATABASE_URL and QUART_APP_... (see the reference in docs).
    """


main.add_command(doctor)
main.add_command(torture)


@main.command()
@click.option("--bind", metavar="HOST:PORT", help="Where to listen. [QUART_APP_BIND]")
@click.option("--workers", metavar="N", help="How many processes. [QUART_APP_WORKERS]")
@click.option("--check", is_flag=True, help="Check settings and database, say what is wrong, exit.")
@click.option("--worker-of", type=int, hidden=True)
def serve(bind: str | None, workers: str | None, check: bool, worker_of: int | None) -> None:
    """Serve the API with Hypercorn until SIGTERM or Ctrl-C.

    Reads hypercorn.toml in the current folder if there is one.
    """
    settings = _settings(QUART_APP_BIND=bind, QUART_APP_WORKERS=workers)
    if check:
        _check(settings)
        return
    config, numbers = _bind(settings)
    if settings.workers == 1:
        _serve(settings, config, parent=worker_of)
        return
    from quart_app.metrics_folder import shared_folder  # noqa: PLC0415
    from quart_app.workers import Workers  # noqa: PLC0415

    with shared_folder():
        status = Workers(settings.workers, numbers).run()
    sys.exit(status)


@main.command()
@click.option("--status", is_flag=True, help="Only say where the database stands.")
@click.option(
    "--wait",
    default=60,
    show_default=True,
    type=click.IntRange(0, MAX_WAIT),
    help="Seconds to wait for another migrate.",
)
def migrate(status: bool, wait: int) -> None:
    """Bring the tables up to date. Safe when many start at once: one works, the others wait."""
    settings = _settings()
    with _reported():
        _migrate(settings, status=status, wait=wait)


@main.command()
@click.option("--force", is_flag=True, help="Write everything again, also if it is there.")
def seed(force: bool) -> None:
    """Load the world's cities, and students. May be interrupted, and run again at any time."""
    settings = _settings()
    with _reported():
        _seed(settings, force=force)


@main.command()
@click.option("--bind", metavar="HOST:PORT", help="Where to listen. [QUART_APP_BIND]")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".local/dev"),
    show_default=True,
    help="The private server's folder; kept between runs.",
)
def dev(bind: str | None, data: Path) -> None:
    """Serve on a private database server: start it, migrate, load the data, serve."""
    from quart_app.local_server import LocalServer, LocalServerError  # noqa: PLC0415

    try:
        with LocalServer(data) as server:
            os.environ.pop("DATABASE_URL_FILE", None)
            tokens = _dev_tokens()
            settings = _settings(
                DATABASE_URL=server.url, QUART_APP_BIND=bind, QUART_APP_WORKERS="1"
            )
            config, _ = _bind(settings)
            with _reported():
                _migrate(settings)
                _seed(settings)
            click.echo(_greeting(settings, tokens))
            _serve(settings, config, breakable=server)
    except LocalServerError as exc:
        _fail(str(exc))


def _settings(**overrides: str | None) -> Settings:
    """Read the settings, with *overrides* in the place of environment variables."""
    os.environ.update({name: value for name, value in overrides.items() if value is not None})
    try:
        settings = Settings.from_env()
    except SettingsError as exc:
        click.echo(str(exc), err=True)
        sys.exit(2)
    logs.configure(settings.log_format, settings.log_level)
    return settings


def _bind(settings: Settings) -> "tuple[Config, list[int]]":
    from quart_app import server  # noqa: PLC0415

    config = server.make_config(settings)
    try:
        return config, server.bind(config)
    except server.BindError as exc:
        _fail(str(exc))


def _serve(
    settings: Settings,
    config: "Config",
    *,
    parent: int | None = None,
    breakable: "LocalServer | None" = None,
) -> None:
    from quart_app import server  # noqa: PLC0415
    from quart_app.app import create_app  # noqa: PLC0415
    from quart_app.status.breaking import Breaker  # noqa: PLC0415
    from quart_app.status.views import allow_breaking  # noqa: PLC0415

    app = create_app(settings)
    if breakable is not None:
        allow_breaking(app, Breaker(breakable))
    server.run(app, config, drain_delay=settings.drain_delay, parent=parent)


def _check(settings: Settings) -> None:
    from quart_app.check import check  # noqa: PLC0415

    click.echo("settings: all right")
    findings = asyncio.run(check(settings))
    for finding in findings:
        click.echo(f"{'ok' if finding.ok else 'WRONG'}: {finding.text}", err=not finding.ok)
    if not all(finding.ok for finding in findings):
        sys.exit(1)


def _migrate(settings: Settings, *, status: bool = False, wait: int = 60) -> None:
    from quart_app.migrations import migrate, read_state  # noqa: PLC0415

    if status:
        state = asyncio.run(read_state(settings.connect))
        pending = ", ".join(state.pending) or "none"
        click.echo(f"current: {state.current or 'none'}\npending: {pending}")
        return
    done = asyncio.run(migrate(settings.connect, lock_timeout=wait)).pending
    click.echo(f"migrated: {', '.join(done)}" if done else "tables are up to date")


def _seed(settings: Settings, *, force: bool = False) -> None:
    from quart_app.cities.seed import Seeding as Cities  # noqa: PLC0415
    from quart_app.mysql.config import PoolConfig  # noqa: PLC0415
    from quart_app.mysql.pool import Pool  # noqa: PLC0415
    from quart_app.mysql.session import Session  # noqa: PLC0415
    from quart_app.students.seed import Seeding as Students  # noqa: PLC0415

    async def load() -> int:
        # No request's limits: one process waits here for another one's loading.
        async with Pool(settings.connect, PoolConfig(name="seed", maxsize=1)) as pool:
            await pool.wait(timeout=settings.connect_timeout)
            session = Session(pool)
            return sum([await part.load(session, report=bar.update, force=force) for part in parts])

    parts = (Cities(), Students())
    total = sum(part.total for part in parts)
    with click.progressbar(length=total, label="cities, countries, students") as bar:
        written = asyncio.run(load())
    click.echo(f"loaded {written} rows" if written else "the data is there already")


@contextlib.contextmanager
def _reported() -> Iterator[None]:
    """Turn what can go wrong with a database into one line and exit status 1."""
    from quart_app.migrations import ForeignTables, MigrationBusy  # noqa: PLC0415

    try:
        yield
    except (MigrationBusy, ForeignTables) as exc:
        _fail(str(exc))
    except DatabaseError as exc:
        if exc.errno == NO_SUCH_TABLE:
            _fail("the tables are not there yet: quart-app migrate")
        _fail(explain(exc))


def _fail(message: str) -> NoReturn:
    click.echo(f"quart-app: {message}", err=True)
    sys.exit(1)


def _dev_tokens() -> dict[Scope, str]:
    """Make a token for each scope, unless some are set, and put their hashes into the settings."""
    if "QUART_APP_TOKENS" in os.environ or "QUART_APP_TOKENS_FILE" in os.environ:
        return {}
    tokens = {scope: secrets.token_urlsafe(24) for scope in Scope}
    hashes = [
        f"{scope.value}:{hashlib.sha256(token.encode()).hexdigest()}"
        for scope, token in tokens.items()
    ]
    os.environ["QUART_APP_TOKENS"] = ",".join(hashes)
    return tokens


def _greeting(settings: Settings, tokens: dict[Scope, str]) -> str:
    url = f"http://{settings.bind[0]}"
    lines = [
        f"\n  {url}",
        f"  curl '{url}/?city=London'",
        f"  curl '{url}/cities?prefix=Lond&limit=3'",
    ]
    lines += [
        f"  token of scope {scope.value}: {token} (opens {url}{OPENED[scope]})"
        for scope, token in tokens.items()
    ]
    return "\n".join([*lines, "  Ctrl-C stops everything.\n"])
