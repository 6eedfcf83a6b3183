"""The load: a bounded number of clients that ask for everything in turn, and keep a record of it."""

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec

from quart_app.torture.client import Client, NoAnswer, NotListening
from quart_app.torture.outcome import Kind, Outcome, Record, outcome_of
from quart_app.torture.program import TOKEN

# What K writes is found again by its taken_at: one millisecond for each number.
EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
STEP = timedelta(milliseconds=1)
STUDENTS, CHAPTERS, ACCOUNTS = 20, 5, 12
CITIES = ("London", "Paris", "Lima", "Oslo", "Nowhereville")
# Longer than any answer may take: who waits for this long waits for ever.
PATIENCE = 15.0
THINKING = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A request to be sent."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def request_of(kind: Kind, number: int, rng: random.Random) -> Sent:
    """Make the request of this *kind* and *number*."""
    if kind is Kind.G:
        return Sent(method="GET", path=_read(number, rng))
    if kind is Kind.K:
        return _attempt(number)
    if kind is Kind.W:
        return Sent(method="POST", path=f"/torture/plain/{number}")
    source, target = rng.sample(range(1, ACCOUNTS + 1), 2)
    name = "transfer" if kind is Kind.T else "transfer-once"
    return Sent(method="POST", path=f"/torture/{name}/{number}?source={source}&target={target}")


def _read(number: int, rng: random.Random) -> str:
    if number % 4 == 0:
        return "/cities?limit=3"
    return f"/?city={rng.choice(CITIES)}"


def _attempt(number: int) -> Sent:
    student, chapter = number % STUDENTS + 1, number % CHAPTERS + 1
    attempt = {"score": number % 100, "max_score": 100, "taken_at": EPOCH + number * STEP}
    return Sent(
        method="POST",
        path=f"/students/{student}/chapters/{chapter}/attempts",
        headers={
            "Content-Type": "application/json",
            "Authorization": f"Bearer {TOKEN}",
            "Idempotency-Key": f"torture-{number}",
        },
        body=msgspec.json.encode(attempt),
    )


class Load:
    """Clients of the program on *port*, from `start()` to `stop()`.

    Arguments:
        *kinds*: in turn, so that each has its share.
        *numbers*: one for each request; no two requests of a run have the same.
        *keep*: keep connections alive; without, every request has one of its own.
    """

    def __init__(  # noqa: PLR0913 - independent keywords
        self,
        port: int,
        *,
        kinds: Sequence[Kind],
        numbers: Iterator[int],
        rng: random.Random,
        clients: int = 12,
        keep: bool = True,
        heard: Callable[[Record], None] | None = None,
    ) -> None:
        self.records: list[Record] = []
        self._numbers = numbers
        self._port, self._keep, self._clients = port, keep, clients
        self._kinds = kinds
        self._rng = rng
        self._heard = heard
        self._under_way = 0
        self._going = asyncio.Event()
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        self._going.set()
        self._tasks = [asyncio.create_task(self._client()) for _ in range(self._clients)]

    async def rest(self) -> None:
        """Send nothing more until `resume()`; wait until all is answered."""
        self._going.clear()
        while self._under_way:  # noqa: ASYNC110 - no hurry, and it must not be missed
            await asyncio.sleep(0.01)

    def resume(self) -> None:
        """Go on."""
        self._going.set()

    async def stop(self) -> None:
        """Send nothing more, wait until all is answered, and end."""
        self._stopping = True
        self._going.set()
        await asyncio.gather(*self._tasks)

    def cancel(self) -> None:
        """End at once, with requests under way."""
        for task in self._tasks:
            task.cancel()

    async def _client(self) -> None:
        async with Client(self._port, keep=self._keep) as client:
            while True:
                await self._going.wait()
                if self._stopping:
                    return
                self._under_way += 1
                try:
                    await self._ask(client)
                finally:
                    self._under_way -= 1
                await asyncio.sleep(self._rng.uniform(0, 2 * THINKING))

    async def _ask(self, client: Client) -> None:
        number = next(self._numbers)
        kind = self._kinds[number % len(self._kinds)]
        began = asyncio.get_running_loop().time()
        outcome, detail = await self._outcome(client, request_of(kind, number, self._rng))
        record = Record(
            kind=kind,
            number=number,
            began=began,
            ended=asyncio.get_running_loop().time(),
            outcome=outcome,
            detail=detail,
        )
        if outcome is not Outcome.REFUSED:
            self.records.append(record)
            if self._heard is not None:
                self._heard(record)

    async def _outcome(self, client: Client, sent: Sent) -> tuple[Outcome, str]:
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await client.send(
                    sent.method, sent.path, headers=sent.headers, body=sent.body
                )
        except TimeoutError:
            return Outcome.HUNG, ""
        except NotListening:
            return Outcome.REFUSED, ""
        except NoAnswer as error:
            return Outcome.DROPPED, str(error)
        return outcome_of(answer)
