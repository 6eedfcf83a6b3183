"""Does the books of keyed POSTs while everything breaks: nothing lost, nothing doubled.

``python -m tests.accounting --seconds 30 --server mariadb`` (or mysql, or --url of an own one) sends
attempts through the app, each with an Idempotency-Key, sent again until it is answered, sometimes
twice at once. Meanwhile connections are killed on the server, cut in the network (at COMMIT, too),
and a server of our own is killed and started again. At the end the tables are counted: an
acknowledged key must be there once, no key twice, and every summary must equal its recount. What it
breaks: the connections of the database user, on loopback; the server only where it started it.
"""

import argparse
import asyncio
import hashlib
import logging
import random
import secrets
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import LiteralString

from quart import Quart
from quart.typing import TestClientProtocol

from quart_app.app import create_app
from quart_app.database_url import parse_database_url
from quart_app.local_server import LocalServer
from quart_app.migrations import migrate
from quart_app.mysql.config import ConnectConfig, Endpoint, PoolConfig, TLSMode
from quart_app.mysql.errors import DatabaseError
from quart_app.mysql.pool import Pool
from quart_app.mysql.session import Session
from quart_app.settings import Settings
from quart_app.testing.offers import offers
from quart_app.testing.servers import Server, ServerProcess
from quart_app.tokens import Scope, Tokens
from quart_app.torture.cuts import Cut, Direction
from quart_app.torture.proxy import FaultProxy

STUDENTS, CHAPTERS = 5, 2
TOKEN, OTHER_TOKEN = secrets.token_hex(16), secrets.token_hex(16)
# Beyond what seeding makes: each key has a moment of its own, by which its row is found.
FIRST_MOMENT = datetime(2025, 1, 1, tzinfo=UTC)
PATIENCE = 30.0  # after the last fault: time to resolve what is open


@dataclass
class Entry:
    """One key: what was asked with it, and what was answered."""

    key: str
    url: str
    body: dict[str, object]
    taken_at: datetime
    acknowledged: bytes | None = None
    sent: int = 0


@dataclass
class Books:
    """All keys, and what was seen on the way."""

    entries: list[Entry] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def open_entry(self, rng: random.Random) -> Entry:
        """Begin a new key with a body that no other key has."""
        taken_at = FIRST_MOMENT + timedelta(microseconds=len(self.entries))
        student, chapter = rng.randint(1, STUDENTS), rng.randint(1, CHAPTERS)
        body = {"score": rng.randint(0, 100), "max_score": 100, "taken_at": taken_at.isoformat()}
        url = f"/students/{student}/chapters/{chapter}/attempts"
        entry = Entry(secrets.token_hex(12), url, dict(body), taken_at)
        self.entries.append(entry)
        return entry

    def note(self, entry: Entry, status: int, answer: bytes, *, replayed: bool) -> bool:
        """Note an answer; True if it settles the key."""
        self.seen["replayed" if replayed else str(status)] += 1
        if status != 201:
            if status != 503:
                self.faults.append(f"status {status} for a key: {answer[:200]!r}")
            elif b"outcome-unknown" in answer:
                self.seen["outcome-unknown"] += 1
            return False
        if entry.acknowledged not in (None, answer):
            self.faults.append("two different answers to one key")
        entry.acknowledged = answer
        return True


class Client:
    """Sends attempts, one key after the other, each until it is acknowledged."""

    def __init__(self, client: TestClientProtocol, books: Books, rng: random.Random) -> None:
        self._client = client
        self._books = books
        self._rng = rng

    async def run(self, ended: asyncio.Event, given_up: asyncio.Event) -> None:
        """Begin keys until *ended*; finish the last one, or leave it when all is *given_up*."""
        while not ended.is_set():
            entry = self._books.open_entry(self._rng)
            twice = self._rng.random() < 0.2
            while not given_up.is_set() and entry.acknowledged is None:
                await asyncio.gather(*[self._send(entry) for _ in range(1 + twice)])
                if self._rng.random() < 0.01 and not twice:
                    break  # a client that gives up: nobody will know
            if entry.acknowledged is not None and self._rng.random() < 0.1:
                await self._send(entry)

    async def _send(self, entry: Entry) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": entry.key}
        entry.sent += 1
        response = await self._client.post(entry.url, json=entry.body, headers=headers)
        answer = await response.get_data(as_text=False)
        replayed = response.headers.get("Idempotent-Replayed") == "true"
        assert isinstance(answer, bytes)
        if not self._books.note(entry, response.status_code, answer, replayed=replayed):
            await asyncio.sleep(self._rng.uniform(0, 0.2))


class Chaos:
    """Breaks one thing after another; *server* None: not ours to kill."""

    def __init__(
        self,
        proxy: FaultProxy,
        admin: Session,
        server: ServerProcess | None,
        rng: random.Random,
        books: Books,
    ) -> None:
        self._proxy = proxy
        self._admin = admin
        self._server = server
        self._rng = rng
        self._books = books

    async def run(self, *, seconds: float) -> None:
        """Break things for *seconds*, then mend them."""
        faults: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (30, self._kill_on_server),
            (20, self._cut_query),
            (20, self._cut_answer),
            (20, self._lose_commit),
            (5, self._cut_all),
            (4, self._silence),
            (3 if self._server else 0, self._kill_server),
        ]
        weights, actions = [weight for weight, _ in faults], [action for _, action in faults]
        until = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < until:
            (action,) = self._rng.choices(actions, weights)
            self._books.broken[action.__name__.strip("_")] += 1
            with suppress(DatabaseError):
                await action()
            await asyncio.sleep(self._rng.uniform(0.02, 0.3))
            self._proxy.mend()

    async def _kill_on_server(self) -> None:
        rows = await self._admin.fetch_all(
            "SELECT id FROM information_schema.processlist"
            " WHERE user = SUBSTRING_INDEX(USER(), '@', 1) AND id <> CONNECTION_ID()"
        )
        for (number,) in self._rng.sample(rows, min(len(rows), self._rng.randint(1, 4))):
            with suppress(DatabaseError):
                await self._admin.execute("KILL %s", (number,))

    async def _cut_query(self) -> None:
        self._proxy.cut(Direction.TO_SERVER, packets=self._rng.randint(0, 8), how=self._how())

    async def _cut_answer(self) -> None:
        self._proxy.cut(Direction.TO_CLIENT, packets=self._rng.randint(0, 12), how=self._how())

    async def _lose_commit(self) -> None:
        self._proxy.lose_answers(b"COMMIT", self._how(), share=0.5)

    async def _cut_all(self) -> None:
        self._proxy.end_all(self._how())

    async def _silence(self) -> None:
        self._proxy.cut(Direction.TO_CLIENT, packets=self._rng.randint(0, 5), how=Cut.SILENCE)

    async def _kill_server(self) -> None:
        assert self._server is not None
        await asyncio.to_thread(self._server.kill)
        await asyncio.sleep(self._rng.uniform(0, 0.5))
        await asyncio.to_thread(self._server.start)

    def _how(self) -> Cut:
        return self._rng.choice((Cut.FIN, Cut.RST))


async def account(
    url: str, *, seconds: float, clients: int, server: ServerProcess | None = None, seed: int = 0
) -> Books:
    """Keep books for *seconds* against the empty database at *url*; returns them, checked."""
    direct = parse_database_url(url)
    await migrate(direct)
    rng, books = random.Random(seed), Books()  # faults, not secrets
    async with (
        open_session(direct) as admin,
        open_proxy(direct, rng) as proxy,
        open_app(direct, proxy) as app,
    ):
        await prepare(admin)
        ended, given_up = asyncio.Event(), asyncio.Event()
        crowd = asyncio.gather(
            *[
                Client(app.test_client(), books, random.Random(rng.random())).run(
                    ended, given_up
                )  # as above
                for _ in range(clients)
            ]
        )
        await Chaos(proxy, admin, server, rng, books).run(seconds=seconds)
        ended.set()
        loop = asyncio.get_running_loop()
        giving_up = loop.call_later(PATIENCE, given_up.set)
        await crowd
        giving_up.cancel()
        await _check(admin, books)
    return books


@asynccontextmanager
async def open_session(config: ConnectConfig) -> AsyncIterator[Session]:
    """A session that no fault of the proxy reaches."""
    async with Pool(config, PoolConfig(name="accounting", maxsize=2)) as pool:
        yield Session(pool)


@asynccontextmanager
async def open_proxy(
    config: ConnectConfig, rng: random.Random | None = None
) -> AsyncIterator[FaultProxy]:
    """A proxy before the server."""
    (endpoint,) = config.endpoints
    async with FaultProxy(endpoint.host, endpoint.port, rng=rng) as proxy:
        yield proxy


@asynccontextmanager
async def open_app(config: ConnectConfig, proxy: FaultProxy) -> AsyncIterator[Quart]:
    """The app behind the proxy, with short limits: a silence should cost seconds, not a minute."""
    through = ConnectConfig(
        endpoints=(Endpoint(host="127.0.0.1", port=proxy.port),),
        user=config.user,
        password=config.password,
        database=config.database,
        tls_mode=TLSMode.DISABLED,  # else no packet boundary could be found to cut at
    )
    hashes = [hashlib.sha256(token.encode()).digest() for token in (TOKEN, OTHER_TOKEN)]
    settings = Settings(
        database=through,
        tokens=Tokens(digests={Scope.STUDENTS: tuple(hashes)}),
        probe_timeout=0.5,
        connect_timeout=1.0,
        acquire_timeout=2.0,
        request_timeout=4.0,
        access_log=False,
    )
    app = create_app(settings)
    async with app.test_app():
        yield app


async def prepare(session: Session) -> None:
    """Make some students and chapters."""
    for student in range(1, STUDENTS + 1):
        await session.execute("REPLACE INTO student VALUES (%s, 'x')", (student,), idempotent=True)
    for chapter in range(1, CHAPTERS + 1):
        await session.execute("REPLACE INTO chapter VALUES (%s, 'x')", (chapter,), idempotent=True)


_COUNT = "SELECT taken_at, COUNT(*) FROM attempt WHERE attempt_id >= 1000000 GROUP BY taken_at"
_WRONG_SUMMARIES: LiteralString = """
SELECT COUNT(*) FROM (
    SELECT student_id, chapter_id, attempts, best_permyriad, sum_permyriad, last_taken_at
    FROM chapter_summary
    UNION ALL
    SELECT student_id, chapter_id, COUNT(*), MAX(permyriad), SUM(permyriad), MAX(taken_at)
    FROM attempt GROUP BY student_id, chapter_id
) AS both_ways
GROUP BY student_id, chapter_id, attempts, best_permyriad, sum_permyriad, last_taken_at
HAVING COUNT(*) <> 2
"""


async def _check(session: Session, books: Books) -> None:
    """Compare the books with the tables; *faults* tells every difference."""
    found = {moment.replace(tzinfo=UTC): times for moment, times in await session.fetch_all(_COUNT)}
    for entry in books.entries:
        times = found.pop(entry.taken_at, 0)
        if times > 1:
            books.seen["doubled"] += 1
        if entry.acknowledged is None:
            books.seen["unknown, there" if times else "unknown, not there"] += 1
        else:
            books.seen["acknowledged"] += 1
            books.seen["lost"] += times == 0
    if found:
        books.faults.append(f"{len(found)} rows that nobody sent")
    wrong = await session.fetch_all(_WRONG_SUMMARIES)
    if wrong:
        books.faults.append(f"{len(wrong)} summaries differ from their recount")


def verdict(books: Books) -> list[str]:
    """What is wrong; empty: nothing lost, nothing doubled."""
    wrong = [f"{name}: {books.seen[name]}" for name in ("lost", "doubled") if books.seen[name]]
    return wrong + sorted(set(books.faults))


@contextmanager
def _server(kind: str) -> Iterator[tuple[str, ServerProcess]]:
    """Start a private server that may be killed, and that keeps what it said it wrote."""
    (offer,) = offers(None, kinds=[kind])
    if offer.make is None:
        sys.exit(str(offer))
    with tempfile.TemporaryDirectory(prefix="qa-", ignore_cleanup_errors=True) as folder:
        process = offer.make(Path(folder) / "data")
        if isinstance(process, LocalServer):
            process.options = ()  # the tests' servers forget on kill
        server = Server(kind=kind, process=process)
        try:
            server.begin()
            yield server.url, process
        finally:
            process.stop()


def main() -> None:
    """Parse the command line, keep the books, print them; exit 1 if they do not balance."""
    parser = argparse.ArgumentParser(prog="python -m tests.accounting", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))  # faults
    parser.add_argument("--server", choices=("mariadb", "mysql"), default="mariadb")
    parser.add_argument("--url", help="an empty database of your own; its server is not killed")
    options = parser.parse_args()
    logging.getLogger("quart_app").setLevel(logging.ERROR)
    if options.url:
        books = _account(options, options.url, None)
    else:
        with _server(options.server) as (url, process):
            books = _account(options, url, process)
    sys.exit(1 if _print(books, options.seed) else 0)


def _account(options: argparse.Namespace, url: str, process: ServerProcess | None) -> Books:
    return asyncio.run(
        account(
            url,
            seconds=options.seconds,
            clients=options.clients,
            server=process,
            seed=options.seed,
        )
    )


def _print(books: Books, seed: int) -> list[str]:
    out = sys.stdout.write
    out(f"keys {len(books.entries)}, requests {sum(e.sent for e in books.entries)}, seed {seed}\n")
    for name in ("acknowledged", "lost", "doubled", "replayed", "unknown, there"):
        out(f"{name:>20} {books.seen.pop(name, 0)}\n")
    for name, number in sorted(books.seen.items()):
        out(f"{name:>20} {number}\n")
    out("faults: " + ", ".join(f"{name} {n}" for name, n in books.broken.most_common()) + "\n")
    wrong = verdict(books)
    out("".join(f"WRONG: {line}\n" for line in wrong) or "nothing lost, nothing doubled\n")
    return wrong


if __name__ == "__main__":
    main()
