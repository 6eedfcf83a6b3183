"""What one row of the table is played with: the program, the load, the faults, and the notes taken."""

import asyncio
import contextlib
import itertools
import random
import secrets
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from quart_app.torture import ledger
from quart_app.torture.client import NoAnswer
from quart_app.torture.faults import Faults
from quart_app.torture.ledger import Account
from quart_app.torture.load import Load
from quart_app.torture.outcome import Outcome, Record
from quart_app.torture.program import Program
from quart_app.torture.subject import OURS, Subject

WARM_UP, AFTER = 0.8, 1.2
# Connections that are being closed get this long to be gone from the server's list.
SETTLING = 4.0
# A member of a cluster then reads all that was acknowledged elsewhere. By: whether it is MariaDB.
_IN_STEP = {
    True: "SET SESSION wsrep_sync_wait = 7",
    False: "SET SESSION group_replication_consistency = 'BEFORE'",
}


def _somewhere() -> int:
    """Begin where no earlier run on the same database wrote."""
    return 1000 * secrets.randbelow(100_000_000)


@dataclass(slots=True, kw_only=True)
class Bench:
    """What all rows share: the server, and numbers that are used once."""

    faults: Faults
    database_url: str
    folder: Path
    rng: random.Random
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(_somewhere()))
    # Further members of the same cluster: each holds all that is written.
    others: list[Faults] = field(default_factory=list)
    subject: Subject = OURS


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """From when to when something was broken."""

    began: float
    ended: float


class Scene:
    """One row as it is played. *url* is what the program connects to."""

    def __init__(
        self, bench: Bench, *, url: str, name: str, heard: Callable[[Record], None] | None = None
    ) -> None:
        self.bench, self.faults, self.url = bench, bench.faults, url
        self.records: list[Record] = []
        self.outages: list[Outage] = []
        self.broken: list[str] = []
        self.notes: list[str] = []
        self.leaked = 0
        self.account = Account()
        self._name = name
        self._heard = heard
        self._healed: float | None = None

    @property
    def log_path(self) -> Path:
        """Where the program's output goes."""
        return self.bench.folder / f"row-{self._name}.log"

    def expect(self, kept: object, otherwise: str) -> None:
        """Note a broken promise, in words, unless it was *kept*."""
        if not kept:
            self.broken.append(otherwise)

    @contextlib.asynccontextmanager
    async def program(self, settings: Mapping[str, str]) -> AsyncGenerator[Program, None]:
        """The program serves, on this scene's database."""
        subject = self.bench.subject
        environment = {**subject.environment(self.url), **settings}
        async with Program(subject, environment, log=self.log_path) as program:
            yield program

    @contextlib.asynccontextmanager
    async def load(
        self,
        program: Program,
        *,
        clients: int = 12,
        keep: bool = True,
    ) -> AsyncGenerator[Load, None]:
        """Load on *program*, warmed up; at the end it is stopped and its records are kept."""
        load = Load(
            program.port,
            kinds=self.bench.subject.kinds,
            numbers=self.bench.numbers,
            rng=self.bench.rng,
            clients=clients,
            keep=keep,
            heard=self._heard,
        )
        load.start()
        try:
            await asyncio.sleep(WARM_UP)
            yield load
            await load.stop()
        finally:
            load.cancel()
            self.records += load.records

    @contextlib.contextmanager
    def outage(self) -> Generator[None, None, None]:
        """Note that something is broken within."""
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            yield
        finally:
            self.outages.append(Outage(began=began, ended=clock()))

    def note_healed(self) -> None:
        """It is healed now, where that is not told by the load."""
        self._healed = asyncio.get_running_loop().time() - self.outages[-1].ended

    @property
    def healed_after(self) -> float | None:
        """Seconds from the end of the last outage to the first good answer; None: no such."""
        if not self.outages or self._healed is not None:
            return self._healed
        end = self.outages[-1].ended
        good = [r.ended for r in self.records if r.outcome is Outcome.OK and r.ended >= end]
        return min(good) - end if good else None

    async def count_leaks(self, program: Program) -> None:
        """Compare the server's list of connections with what the pool says it holds."""
        if not self.bench.subject.is_ours:
            return
        clock = asyncio.get_running_loop().time
        until = clock() + SETTLING
        while True:
            try:
                held = (await program.state()).pool
            except NoAnswer:
                self.expect(None, "the program is gone")
                return
            present = await self._present()
            self.leaked = max(0, present - held.total)
            settled = not self.leaked and not held.active and not held.waiting
            if settled or clock() > until:
                self.expect(not held.active, f"{held.active} connections were not given back")
                self.expect(not held.waiting, f"{held.waiting} callers wait still")
                return
            await asyncio.sleep(0.1)

    async def _present(self) -> int:
        return sum([await faults.connections() for faults in self._all()])

    async def settle_account(self) -> None:
        """Compare what the databases hold with what the clients were told."""
        numbers = [record.number for record in self.records]
        if not numbers:
            return
        span = range(min(numbers), max(numbers) + 1)
        async with self.faults.admin() as connection:
            if self.bench.others:
                await connection.run(_IN_STEP[connection.server.is_mariadb])
            subject = self.bench.subject
            found = await ledger.count(connection, span, attempts=subject.attempts)
            torn = await ledger.torn(connection) if subject.is_ours else 0
        self.account = ledger.compare(found, self.records, torn=torn)

    def _all(self) -> list[Faults]:
        return [self.faults, *self.bench.others]
