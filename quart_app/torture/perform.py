"""A run from begin to end: the server, the rows in order, what is printed and written."""

import asyncio
import contextlib
import random
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

import click

from quart_app.database_url import parse_database_url
from quart_app.local_server import LocalServerError
from quart_app.migrations import migrate
from quart_app.mysql.errors import DatabaseError
from quart_app.torture import hosts, ledger, report, timeline
from quart_app.torture.errors import CannotHave
from quart_app.torture.faults import Faults
from quart_app.torture.hosts import Stand, Wanted
from quart_app.torture.outcome import Outcome, Record
from quart_app.torture.plan import Plan
from quart_app.torture.proxy import FaultProxy
from quart_app.torture.rows.row import Row
from quart_app.torture.run import Result, play
from quart_app.torture.scene import Bench

INTERRUPTED = 130


def on_server(plan: Plan, wanted: Wanted, *, out: Path | None) -> int:
    """Play *plan* on the server that is *wanted*; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="torture-", ignore_cleanup_errors=True) as folder:
        try:
            with hosts.stand(wanted, Path(folder)) as stand:
                run = Run(plan, folder=Path(folder), out=out)
                asyncio.run(run.play(stand))
        except (CannotHave, LocalServerError, DatabaseError) as error:
            click.echo(f"quart-app: {error}", err=True)
            return 1
        except KeyboardInterrupt:
            click.echo("\ninterrupted; everything that was started is stopped", err=True)
            return INTERRUPTED
        return run.finish()


@contextlib.asynccontextmanager
async def bench_of(
    stand: Stand, folder: Path, *, rng: random.Random | None = None
) -> AsyncGenerator[tuple[Bench, str], None]:
    """Prepare the database of *stand*; the bench, and the server's version."""
    rng = rng or random.Random()  # noqa: S311 - no secret
    async with contextlib.AsyncExitStack() as stack:
        members = []
        for server in stand.servers:
            proxy = FaultProxy(*hosts.address(server.url), rng=rng)
            members.append(Faults(server, await stack.enter_async_context(proxy)))
        faults, *others = members
        await migrate(parse_database_url(faults.server.url))
        async with faults.admin() as connection:
            await ledger.prepare(connection)
            version = connection.server.version.removeprefix("5.5.5-")
        bench = Bench(faults=faults, others=others, database_url=stand.url, folder=folder, rng=rng)
        yield bench, version


class Run:
    """The rows of *plan* on one server, and their results."""

    def __init__(self, plan: Plan, *, folder: Path, out: Path | None) -> None:
        self._plan, self._folder, self._out = plan, folder, out
        self._results: list[Result] = []
        self._version = ""
        self._since = self._until = 0.0

    async def play(self, stand: Stand) -> None:
        """Play them, and print a line for each."""
        clock = asyncio.get_running_loop().time
        async with bench_of(stand, self._folder, rng=self._plan.rng) as (bench, self._version):
            click.echo(f"on {self._version}\n{report.HEAD}")
            self._since = clock()
            for row in self._plan:
                missing = await row.missing(bench.faults)
                if missing:
                    click.echo(report.left_out(row, missing))
                    continue
                progress = _Progress(row)
                self._results.append(await play(row, bench, heard=progress.heard))
                progress.clear()
                click.echo(report.line(self._results[-1]))
                self._until = clock()

    def finish(self) -> int:
        """Print the summary, write the files, return the exit status."""
        click.echo(report.summary(self._results))
        if self._out is not None:
            self._write(self._out)
        return int(any(not result.kept for result in self._results))

    def _write(self, out: Path) -> None:
        out.mkdir(parents=True, exist_ok=True)
        since, until = self._since, self._until
        told = report.as_json(self._results, server=self._version, since=since)
        (out / "torture.json").write_bytes(told)
        title = f"quart-app torture on {self._version}"
        drawn = timeline.svg(self._results, title=title, since=since, until=until)
        (out / "torture.svg").write_text(drawn)
        click.echo(f"wrote {out / 'torture.json'} and {out / 'torture.svg'}")
        for result in self._results:
            if not result.kept and result.log_path.exists():
                shutil.copy(result.log_path, out)


class _Progress:
    """A line on stderr that says what goes on, where somebody looks."""

    def __init__(self, row: Row) -> None:
        self._row = row
        self._shown = sys.stderr.isatty()
        self._ok = self._other = 0
        self._show()

    def heard(self, record: Record) -> None:
        """An answer came."""
        if record.outcome is Outcome.OK:
            self._ok += 1
        else:
            self._other += 1
        if (self._ok + self._other) % 20 == 0:
            self._show()

    def clear(self) -> None:
        """Make room for the result."""
        if self._shown:
            click.echo("\r\033[K", nl=False, err=True)

    def _show(self) -> None:
        if self._shown:
            text = (
                f"\r\033[K{self._row.number} {self._row.title} ... {self._ok} ok, {self._other} not"
            )
            click.echo(text, nl=False, err=True)
