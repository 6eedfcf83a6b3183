"""A keyed POST on real servers, cut at every packet boundary, alone and in company."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count

import pytest
from quart.typing import TestClientProtocol as Client

from quart_app.database_url import parse_database_url
from quart_app.extension import QuartMySQL
from quart_app.http import idempotency
from quart_app.migrations import migrate
from quart_app.mysql.pool import Pool
from quart_app.mysql.session import Session
from quart_app.testing.servers import Server
from quart_app.torture.cuts import Cut, Direction, Plan
from quart_app.torture.proxy import FaultProxy, Mode
from tests.accounting import (
    OTHER_TOKEN,
    TOKEN,
    Books,
    account,
    open_app,
    open_proxy,
    open_session,
    prepare,
)
from tests.accounting import verdict as faults_of

pytestmark = pytest.mark.mysql

URL = "/students/1/chapters/1/attempts"
BODY = {"score": 7, "max_score": 10, "taken_at": "2026-05-01T12:00:00Z"}
# What a keyed POST sends and is sent; a few more than there are, so that the last lets it through.
PACKETS = {Direction.TO_SERVER: 4, Direction.TO_CLIENT: 24}
_numbers = count()


@dataclass
class Play:
    """The app behind a proxy, and a session that goes round it."""

    client: Client
    proxy: FaultProxy
    direct: Session

    async def post(
        self, key: str, body: dict[str, object] | None = None, *, token: str = TOKEN
    ) -> tuple[int, bytes, str | None]:
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
        response = await self.client.post(URL, json=body or BODY, headers=headers)
        answer = await response.get_data(as_text=False)
        assert isinstance(answer, bytes)
        return response.status_code, answer, response.headers.get("Idempotent-Replayed")

    async def settle(self, key: str) -> None:
        """Send *key* until it is answered; some servers take longer to start than we hold."""
        async with asyncio.timeout(60):
            while (await self.post(key))[0] != 201:  # noqa: ASYNC110 # as a client does
                await asyncio.sleep(0.1)

    def cut_present(self, direction: Direction, packets: int, how: Cut) -> None:
        """Cut the connections that exist; those made to replace them are spared."""
        for link in self.proxy._links:
            link.plans[direction] = Plan(packets, 0, how)

    async def rows(self) -> int:
        return int(await self.direct.fetch_val("SELECT COUNT(*) FROM attempt"))

    @property
    def pool(self) -> Pool:
        session: QuartMySQL = self.client.app.extensions["QUART_MYSQL"]
        return session.pool

    async def summary(self) -> int:
        return int(await self.direct.fetch_val("SELECT SUM(attempts) FROM chapter_summary") or 0)


MakePlay = Callable[[str], AbstractAsyncContextManager[Play]]


@asynccontextmanager
async def _playing(url: str) -> AsyncIterator[Play]:
    config = parse_database_url(url)
    await migrate(config)
    async with AsyncExitStack() as stack:
        direct = await stack.enter_async_context(open_session(config))
        await prepare(direct)
        proxy = await stack.enter_async_context(open_proxy(config))
        app = await stack.enter_async_context(open_app(config, proxy))
        yield Play(app.test_client(), proxy, direct)


@pytest.fixture(name="play")
async def _play(database_url: str) -> AsyncIterator[Play]:
    async with _playing(database_url) as play:
        yield play


@pytest.fixture(name="make_play")
def _make_play() -> MakePlay:
    return _playing


def _key() -> str:
    return f"key-{next(_numbers)}"


async def test_done_once_and_answered_the_same_every_time(play: Play) -> None:
    first = await play.post("a")
    assert first[0] == 201
    assert first[2] is None
    again = await play.post("a")
    assert again == (201, first[1], "true")
    assert await play.rows() == await play.summary() == 1


async def test_a_server_alone_is_known_to_be(play: Play) -> None:
    """So that what else is tested here is what is sent together."""
    async with play.pool.acquire() as connection:
        assert connection.server.is_alone


async def test_one_body_written_in_two_ways_is_one_request(play: Play) -> None:
    first = await play.post("a")
    other = {"taken_at": "2026-05-01T14:00:00+02:00", "max_score": 10, "score": 7}
    assert (await play.post("a", other))[:2] == first[:2]


async def test_the_same_key_with_another_body_is_refused(play: Play) -> None:
    await play.post("a")
    status, answer, _ = await play.post("a", {**BODY, "score": 8})
    assert status == 422
    assert b"key-reused" in answer
    assert await play.rows() == 1


async def test_keys_that_a_collation_thinks_equal_are_two(play: Play) -> None:
    for key in ("k", "K", "k-"):
        assert (await play.post(key))[2] is None
    assert await play.rows() == 3


async def test_a_key_of_another_caller_is_another_key(play: Play) -> None:
    first = await play.post("a")
    second = await play.post("a", {**BODY, "score": 8}, token=OTHER_TOKEN)
    assert (second[0], second[2]) == (201, None)
    assert second[1] != first[1]
    assert await play.post("a") == (201, first[1], "true")
    again = await play.post("a", {**BODY, "score": 8}, token=OTHER_TOKEN)
    assert again == (201, second[1], "true")
    assert await play.rows() == await play.summary() == 2


async def test_a_refused_request_uses_no_key_up(play: Play) -> None:
    status, _, _ = await play.post("a", {**BODY, "score": 11})
    assert status == 400
    assert (await play.post("a"))[0] == 201


async def test_duplicates_at_once_wait_for_the_first(play: Play) -> None:
    answers = await asyncio.gather(*[play.post("a") for _ in range(8)])
    assert {status for status, _, _ in answers} == {201}
    assert len({answer for _, answer, _ in answers}) == 1
    assert [replayed for _, _, replayed in answers].count(None) == 1
    assert await play.rows() == await play.summary() == 1


async def test_duplicates_at_once_do_not_wait_for_each_other(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They deadlocked on the lock by which they read the answer: 126 retries for 80 requests."""
    retried: list[Exception] = []
    monkeypatch.setattr(play.pool.observer, "retried", lambda *, error, **_: retried.append(error))
    for key in ("a", "b", "c"):
        answers = await asyncio.gather(*[play.post(key) for _ in range(8)])
        assert {status for status, _, _ in answers} == {201}
    assert retried == []


@pytest.mark.parametrize("how", [Cut.FIN, Cut.RST])
@pytest.mark.parametrize("direction", list(Direction))
async def test_a_cut_at_any_packet_neither_loses_nor_doubles(
    play: Play, direction: Direction, how: Cut
) -> None:
    for packets in range(PACKETS[direction]):
        key = _key()
        play.cut_present(direction, packets, how)
        status, _, replayed = await play.post(key)
        play.proxy.mend()
        assert (status, replayed) == (201, None), packets
        assert await play.rows() == await play.summary() == packets + 1, packets


async def test_a_cut_at_any_packet_with_company(play: Play) -> None:
    sent = 0
    for packets in range(0, PACKETS[Direction.TO_CLIENT], 2):
        keys = [_key() for _ in range(3)]
        play.cut_present(Direction.TO_CLIENT, packets, Cut.RST)
        answers = await asyncio.gather(*[play.post(key) for key in keys * 2])
        play.proxy.mend()
        sent += len(keys)
        assert {status for status, _, _ in answers} == {201}, packets
        assert await play.rows() == await play.summary() == sent, packets


async def test_a_lost_answer_to_commit_is_found_out(play: Play) -> None:
    await play.post(_key())
    play.proxy.lose_answers(b"COMMIT", Cut.RST, share=1.0)
    posting = asyncio.create_task(play.post(_key()))
    while not play.proxy.struck:  # noqa: ASYNC110 # the proxy tells nobody
        await asyncio.sleep(0.01)
    play.proxy.lose_answers(b"none", Cut.RST)  # not mend(): the cut is yet to come
    status, _, replayed = await posting
    assert (status, replayed) == (201, None)
    assert await play.rows() == await play.summary() == 2


async def test_not_even_losing_every_answer_to_commit_leaves_a_doubt(play: Play) -> None:
    play.proxy.lose_answers(b"COMMIT", Cut.RST, share=1.0)
    status, _, replayed = await play.post(_key())
    assert (status, replayed) == (201, None)
    assert play.proxy.struck == 1
    assert await play.rows() == await play.summary() == 1


async def test_an_outcome_that_cannot_be_found_out_in_time_is_said_to_be_unknown(
    play: Play,
) -> None:
    key = _key()
    play.proxy.lose_answers(b"COMMIT", Cut.RST)
    posting = asyncio.create_task(play.post(key))
    while not play.proxy.struck:  # noqa: ASYNC110 # the proxy tells nobody
        await asyncio.sleep(0)  # before the app can have another connection
    await play.proxy.switch(Mode.REFUSE)
    play.pool.drain()
    status, answer, _ = await posting
    assert status == 503
    assert b"outcome-unknown" in answer
    await play.proxy.switch(Mode.PASS)
    play.proxy.mend()
    status, _, replayed = await play.post(key)
    assert (status, replayed) == (201, "true")
    assert await play.rows() == await play.summary() == 1


@pytest.mark.parametrize("struck", [b"COMMIT", b"BEGIN"])
async def test_another_process_answers_for_one_that_died(
    play: Play, database_url: str, struck: bytes
) -> None:
    """The first app dies between its COMMIT (or BEGIN) and its answer; its connections with it."""
    play.proxy.lose_answers(struck, Cut.SILENCE)
    first = asyncio.create_task(play.post("a"))
    while not play.proxy.struck:  # noqa: ASYNC110 # the proxy tells nobody
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    first.cancel()
    await asyncio.wait([first])
    config = parse_database_url(database_url)
    async with open_proxy(config) as proxy, open_app(config, proxy) as app:
        other = Play(app.test_client(), proxy, play.direct)
        status, _, replayed = await other.post("a")
        assert (status, replayed) == (201, "true" if struck == b"COMMIT" else None)
        assert await other.rows() == await other.summary() == 1


async def test_the_server_is_killed_under_way(
    breakable_server: Server, make_play: MakePlay
) -> None:
    async with make_play(breakable_server.new_database()) as play:
        await play.post("before")
        posting = [asyncio.create_task(play.settle(_key())) for _ in range(8)]
        await asyncio.sleep(0.01)
        await asyncio.to_thread(breakable_server.process.restart)
        await asyncio.gather(*posting)
        assert await play.rows() == await play.summary() == 9


async def test_a_frozen_server_costs_time_and_nothing_else(
    breakable_server: Server, make_play: MakePlay
) -> None:
    async with make_play(breakable_server.new_database()) as play:
        await play.post("before")
        breakable_server.process.pause()
        posting = [asyncio.create_task(play.post(f"k{n}")) for n in range(4)]
        answers = await asyncio.gather(*posting)
        breakable_server.process.resume()
        assert {status for status, _, _ in answers} == {503}
        again = await asyncio.gather(*[play.post(f"k{n}") for n in range(4)])
        assert {status for status, _, _ in again} == {201}
        assert await play.rows() == await play.summary() == 5


async def test_connections_killed_while_idle_are_not_noticed(play: Play) -> None:
    await asyncio.gather(*[play.post(_key()) for _ in range(4)])
    rows = await play.direct.fetch_all(
        "SELECT id FROM information_schema.processlist"
        " WHERE user = SUBSTRING_INDEX(USER(), '@', 1) AND db = DATABASE() AND id <> CONNECTION_ID()"
    )
    for (number,) in rows:
        await play.direct.execute("KILL %s", (number,))
    answers = await asyncio.gather(*[play.post(_key()) for _ in range(4)])
    assert {status for status, _, _ in answers} == {201}
    assert await play.rows() == 8


async def test_old_keys_are_forgotten(play: Play) -> None:
    await play.post("old")
    await play.post("new")
    await play.direct.execute(
        "UPDATE idempotency_key SET created_at = created_at - INTERVAL 2 DAY"
        " WHERE idempotency_key = 'old'"
    )
    assert await idempotency.purge(play.direct, keep=24 * 3600) == 1
    assert (await play.post("new"))[2] == "true"
    assert (await play.post("old"))[2] is None


async def test_the_books_balance(database_url: str) -> None:
    books: Books = await account(database_url, seconds=4, clients=6, seed=1)
    assert faults_of(books) == []
    assert books.seen["acknowledged"] > 10


async def test_a_full_table_is_no_defect_of_ours(
    play: Play, mysql_server: Server, database_url: str
) -> None:
    database, key = parse_database_url(database_url).database, _key()
    mysql_server.execute(
        f"CREATE TRIGGER `{database}`.full BEFORE INSERT ON `{database}`.attempt FOR EACH ROW"
        " SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1114"
    )
    status, answer, _ = await play.post(key)
    assert (status, b"/problems/unavailable" in answer) == (503, True)
    assert await play.rows() == 0
    mysql_server.execute(f"DROP TRIGGER `{database}`.full")
    status, _, replayed = await play.post(key)
    assert (status, replayed) == (201, None)
    assert await play.rows() == 1
