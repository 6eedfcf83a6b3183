"""The students API on real servers: what it answers, and what bad input cannot do."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
from quart.typing import TestClientProtocol as Client

from quart_app.database_url import parse_database_url
from quart_app.migrations import migrate
from quart_app.mysql.session import Session
from quart_app.students.seed import RECOUNT, Seeding
from tests.accounting import TOKEN, open_app, open_proxy, open_session, prepare

pytestmark = pytest.mark.mysql

BODY = {"score": 7, "max_score": 10, "taken_at": "2026-05-01T12:00:00Z"}
AUTHORIZATION = {"Authorization": f"Bearer {TOKEN}"}
KEY = {"Idempotency-Key": "a key"}
ATTEMPTS = "/students/1/chapters/1/attempts"


@dataclass
class Play:
    """The app, and a session beside it."""

    client: Client
    session: Session

    async def get(self, path: str, **headers: str) -> tuple[int, dict[str, object]]:
        response = await self.client.get(path, headers={**AUTHORIZATION, **headers})
        return response.status_code, json.loads(await response.get_data())

    async def post(
        self, path: str, body: object = None, **headers: str
    ) -> tuple[int, dict[str, object]]:
        response = await self.client.post(
            path, json=body, headers={**AUTHORIZATION, **KEY, **headers}
        )
        return response.status_code, json.loads(await response.get_data())

    async def post_raw(self, data: bytes, content_type: str) -> tuple[int, dict[str, object]]:
        headers = {**AUTHORIZATION, **KEY, "Content-Type": content_type}
        response = await self.client.post(ATTEMPTS, data=data, headers=headers)
        return response.status_code, json.loads(await response.get_data())

    async def nothing_was_written(self) -> bool:
        counts = [
            await self.session.fetch_val("SELECT COUNT(*) FROM attempt"),
            await self.session.fetch_val("SELECT COUNT(*) FROM chapter_summary"),
            await self.session.fetch_val("SELECT COUNT(*) FROM idempotency_key"),
        ]
        return counts == [0, 0, 0]


@pytest.fixture(name="play")
async def _play(database_url: str) -> AsyncIterator[Play]:
    config = parse_database_url(database_url)
    await migrate(config)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(open_session(config))
        await prepare(session)
        proxy = await stack.enter_async_context(open_proxy(config))
        app = await stack.enter_async_context(open_app(config, proxy))
        yield Play(app.test_client(), session)


async def test_an_attempt_and_what_comes_of_it(play: Play) -> None:
    status, recorded = await play.post(ATTEMPTS, BODY)
    assert status == 201
    summary = {
        "student_id": 1,
        "chapter_id": 1,
        "attempts": 1,
        "best_score": 70.0,
        "mean_score": 70.0,
        "last_attempt": "2026-05-01T12:00:00Z",
    }
    assert recorded["summary"] == summary
    assert await play.get("/students/1/chapters/1") == (200, summary)
    page = {"attempts": [recorded["attempt"]], "next_cursor": None}
    assert await play.get(ATTEMPTS) == (200, page)


async def test_a_summary_counts_all(play: Play) -> None:
    for number, score in enumerate((4, 9, 5)):
        moment = f"2026-05-0{3 - number}T12:00:00.5Z"
        body = {"score": score, "max_score": 10, "taken_at": moment}
        await play.post(ATTEMPTS, body, **{"Idempotency-Key": str(number)})
    _, summary = await play.get("/students/1/chapters/1")
    assert summary["attempts"] == 3
    assert (summary["best_score"], summary["mean_score"]) == (90.0, 60.0)
    assert summary["last_attempt"] == "2026-05-03T12:00:00.500000Z"


async def test_pages_are_whole_and_in_order(play: Play) -> None:
    for number in range(5):
        await play.post(ATTEMPTS, {**BODY, "score": number}, **{"Idempotency-Key": str(number)})
    scores, cursor = [], ""
    while True:
        status, page = await play.get(f"{ATTEMPTS}?limit=2{cursor}")
        assert status == 200
        assert isinstance(page["attempts"], list)
        scores.append([attempt["score"] for attempt in page["attempts"]])
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert scores == [[4, 3], [2, 1], [0]]


async def test_the_original_call(play: Play) -> None:
    await play.post(ATTEMPTS, BODY)
    status, answer = await play.post("/students/1", {"chapterId": 1})
    assert status == 200
    assert (answer["resultCode"], answer["resultDescription"]) == (100, "SUCCESS")
    assert isinstance(answer["result"], list)
    assert [line["best_score"] for line in answer["result"]] == [70.0]
    response = await play.client.post("/students/1", form={"chapterId": "1"}, headers=AUTHORIZATION)
    assert json.loads(await response.get_data()) == answer


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/students/9999", {"chapterId": 1}, 404, 101),
        ("/students/1", {"chapterId": 9999}, 404, 101),
        ("/students/1", {"chapterId": "1; DROP TABLE attempt"}, 400, 102),
        ("/students/1", {"chapterId": -1}, 400, 102),
        ("/students/1", {"chapterId": 10**30}, 400, 102),
        ("/students/1", {"chapterId": 1.5}, 400, 102),
        ("/students/1", {"chapterId": None}, 400, 102),
        ("/students/1", {}, 400, 102),
        ("/students/1", [], 400, 102),
        ("/students/9999999999", {"chapterId": 1}, 404, 101),
    ],
)
async def test_the_original_call_says_what_is_wrong(
    play: Play, path: str, body: object, status: int, code: int
) -> None:
    answered, answer = await play.post(path, body)
    assert (answered, answer["resultCode"], answer["result"]) == (status, code, [])


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({**BODY, "score": 11}, "score"),
        ({**BODY, "score": -1}, "score"),
        ({**BODY, "score": 1.5}, "score"),
        ({**BODY, "score": "7"}, "score"),
        ({**BODY, "score": 10**30}, "score"),
        ({**BODY, "max_score": 0}, "max_score"),
        ({**BODY, "max_score": 10**7, "score": 1}, "max_score"),
        ({**BODY, "taken_at": "2999-01-01T00:00:00Z"}, "taken_at"),
        ({**BODY, "taken_at": "2026-05-01T12:00:00"}, "taken_at"),
        ({**BODY, "taken_at": "0001-01-01T00:00:00Z"}, "taken_at"),
        ({**BODY, "taken_at": "yesterday"}, "taken_at"),
        ({**BODY, "taken_at": 1777636800}, "taken_at"),
        ({**BODY, "taken_at": "2026-02-30T12:00:00Z"}, "taken_at"),
        ({**BODY, "extra": 1}, "not known here. Known: score, max_score, taken_at."),
        ({"score": 1}, "max_score"),
        ([], "object"),
        (None, "object"),
    ],
)
async def test_a_bad_attempt_is_refused_by_name_and_leaves_nothing(
    play: Play, body: object, named: str
) -> None:
    data = json.dumps(body).encode()
    status, problem = await play.post_raw(data, "application/json")
    assert (status, problem["type"]) == (400, "/problems/invalid-request")
    assert named in str(problem["detail"])
    assert await play.nothing_was_written()


@pytest.mark.parametrize(
    ("data", "content_type", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b'{"score": 1e999}', "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (json.dumps(BODY).encode(), "text/plain", 415),
        (b"score=1&max_score=2", "application/x-www-form-urlencoded", 415),
        (b"{" + b" " * (1024 * 1024), "application/json", 413),
    ],
)
async def test_a_bad_body_is_refused_and_leaves_nothing(
    play: Play, data: bytes, content_type: str, status: int
) -> None:
    answered, problem = await play.post_raw(data, content_type)
    assert answered == status
    assert str(problem["type"]).startswith("/problems/")
    assert await play.nothing_was_written()


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "schl\u00fcssel"])
async def test_a_bad_key_is_refused_and_leaves_nothing(play: Play, key: str) -> None:
    status, problem = await play.post(ATTEMPTS, BODY, **{"Idempotency-Key": key})
    assert (status, problem["type"]) == (400, "/problems/invalid-request")
    assert await play.nothing_was_written()


@pytest.mark.parametrize(
    "path",
    [
        "/students/9999/chapters/1",
        "/students/1/chapters/9999",
        "/students/4294967296/chapters/1",
        "/students/1/chapters/9999999999",
    ],
)
async def test_who_is_not_there_is_not_found(play: Play, path: str) -> None:
    for address in (path, f"{path}/attempts"):
        status, problem = await play.get(address)
        assert (status, problem["type"]) == (404, "/problems/not-found")
    assert (await play.post(f"{path}/attempts", BODY))[0] == 404
    assert await play.nothing_was_written()


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", "cursor=x", "page=2"])
async def test_a_bad_query_is_refused(play: Play, query: str) -> None:
    status, problem = await play.get(f"{ATTEMPTS}?{query}")
    assert (status, problem["type"]) == (400, "/problems/invalid-request")


@pytest.mark.parametrize("authorization", ["", "Bearer wrong", "Basic x"])
async def test_without_a_token_nothing_is_read_or_written(play: Play, authorization: str) -> None:
    headers = {"Authorization": authorization}
    for path in ("/students/1/chapters/1", ATTEMPTS):
        assert (await play.get(path, **headers))[0] == 401
    for path in ("/students/1", ATTEMPTS):
        assert (await play.post(path, BODY, **headers))[0] == 401
    assert await play.nothing_was_written()


async def test_seeding_is_the_same_each_time_and_agrees_with_itself(play: Play) -> None:
    await play.post(ATTEMPTS, BODY)
    steps: list[int] = []
    total = await Seeding().load(play.session, report=steps.append)
    assert sum(steps) == total > 10_000
    assert await Seeding().load(play.session, report=steps.append) == 0
    before = await play.session.fetch_all("SELECT * FROM chapter_summary ORDER BY 1, 2")
    await play.session.execute(RECOUNT)
    assert before == await play.session.fetch_all("SELECT * FROM chapter_summary ORDER BY 1, 2")
    assert await Seeding().load(play.session, report=steps.append, force=True) == total
    assert before == await play.session.fetch_all("SELECT * FROM chapter_summary ORDER BY 1, 2")
    _, page = await play.get(ATTEMPTS)
    assert any(a["attempt_id"] >= 1_000_000 for a in page["attempts"])  # type: ignore[attr-defined] # JSON
