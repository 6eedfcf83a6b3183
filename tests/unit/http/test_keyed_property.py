"""Whatever breaks and however clients retry: a key is done once, and answered the same every time."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from quart import Quart, Response, request

from quart_app.extension import QuartMySQL, current_session
from quart_app.http import deadline, idempotency, problems, reconnect
from quart_app.http.reconnect import keyed
from quart_app.mysql.config import ConnectConfig, Endpoint, PoolConfig, TLSMode
from tests.support.virtual import run
from tests.unit.http.ledger_server import FAULTS, LedgerServer

CONNECT = ConnectConfig(endpoints=(Endpoint(),), user="u", tls_mode=TLSMode.DISABLED)
# Where there is no fault any more a key is settled within this many tries.
PATIENCE = 60


def make_app() -> Quart:
    app = Quart(__name__)
    pool = PoolConfig(minsize=0, maxsize=4, acquire_timeout=2.0, statement_timeout=2.0)
    QuartMySQL(app, connect=CONNECT, pool=pool)
    problems.install(app)
    reconnect.install(app)
    deadline.install(app, timeout=4.0)

    @app.post("/attempts")
    @keyed
    async def attempts() -> Response:
        key = request.headers["Idempotency-Key"]

        async def work() -> idempotency.Answer:
            await current_session().execute("INSERT INTO attempt VALUES (%s)", (key,))
            return idempotency.Answer(status=201, body=f"{key} {random.random()}".encode())

        return await idempotency.once(request, content=b"", work=work)

    return app


class Account:
    """What clients were told."""

    def __init__(self) -> None:
        self.answers: dict[str, set[bytes]] = {}
        self.statuses: Counter[int] = Counter()

    async def send(self, app: Quart, key: str) -> bool:
        response = await app.test_client().post("/attempts", headers={"Idempotency-Key": key})
        answer = await response.get_data(as_text=False)
        assert isinstance(answer, bytes)
        self.statuses[response.status_code] += 1
        if response.status_code != 201:
            assert response.status_code == 503, answer
            return False
        self.answers.setdefault(key, set()).add(answer)
        return True


async def _client(app: Quart, account: Account, key: str, copies: int) -> None:
    for _ in range(PATIENCE):
        if any(await asyncio.gather(*[account.send(app, key) for _ in range(copies)])):
            return
    pytest.fail(f"{key} was not settled: {account.statuses}")


async def _play(faults: dict[int, str], clients: Sequence[int]) -> tuple[LedgerServer, Account]:
    app, server, account = make_app(), LedgerServer(faults), Account()
    server.serve_in_memory()
    async with app.test_app():
        await asyncio.gather(
            *[_client(app, account, f"key{n}", copies) for n, copies in enumerate(clients)]
        )
        for number in range(len(clients)):
            await _client(app, account, f"key{number}", 1)  # once more, long after
    return server, account


def play(faults: dict[int, str], clients: Sequence[int]) -> tuple[LedgerServer, Account]:
    """Play it in virtual time, on a loop of its own."""
    return run(_play(faults, clients))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    faults=st.dictionaries(st.integers(1, 40), st.sampled_from(FAULTS), max_size=12),
    clients=st.lists(st.integers(1, 3), min_size=1, max_size=3),
)
@example(faults={5: "lost after"}, clients=[1])
@example(faults={5: "silent after", 6: "lost after"}, clients=[2])
@example(faults={5: "lost long before"}, clients=[1])
def test_done_once_and_answered_the_same(faults: dict[int, str], clients: list[int]) -> None:
    server, account = play(dict(faults), clients)
    keys = {f"key{number}" for number in range(len(clients))}
    assert Counter(server.attempts) == dict.fromkeys(keys, 1)
    assert set(account.answers) == keys
    assert all(len(answers) == 1 for answers in account.answers.values())


@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_at_any_statement_costs_no_client_an_error(fault: str) -> None:
    for number in range(1, 7):
        server, account = play({number: fault}, [1])
        assert server.attempts == ["key0"], number
        assert account.statuses == {201: 2}, number
