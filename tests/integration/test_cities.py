"""The cities API on real data and real servers: right answers, and clear ones to bad input."""

import asyncio
import json
from typing import Any
from urllib.parse import quote

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Client

from quart_app.cities.repository import FIND_CITY_ID
from quart_app.extension import EXTENSION, QuartMySQL

LONDON, LONDON_ONTARIO = 2643743, 6058560
ORIGINAL = "SELECT city_id FROM city WHERE city = %s"


async def get(client: Client, path: str) -> tuple[int, Any]:
    response = await client.get(path)
    return response.status_code, json.loads(await response.get_data())


async def text(client: Client, path: str) -> str:
    response = await client.get(path)
    assert response.status_code == 200
    assert response.content_type == "text/plain; charset=utf-8"
    return await response.get_data(as_text=True)


async def all_pages(client: Client, path: str) -> list[dict[str, Any]]:
    status, page = await get(client, path)
    assert status == 200
    cities: list[dict[str, Any]] = page["cities"]
    while page["next_cursor"] is not None:
        _, page = await get(client, f"{path}&cursor={quote(page['next_cursor'])}")
        assert page["cities"]
        cities += page["cities"]
    return cities


@pytest.mark.parametrize("name", ["London", "london", "LONDON", "Löndon"])
async def test_city_is_found_whatever_its_case_and_accents(client: Client, name: str) -> None:
    assert await text(client, f"/?city={quote(name)}") == f'City "{name}" is #{LONDON}'


@pytest.mark.parametrize(
    "name",
    ["Nowhereville", "", "' OR '1'='1", "'; DROP TABLE city; --", '"', "%", "L_ndon", "\\", "🏙️"],
)
async def test_unknown_city_is_not_found_and_echoed(client: Client, name: str) -> None:
    assert await text(client, f"/?city={quote(name)}") == f'City "{name}" not found'


async def test_name_in_another_script(client: Client) -> None:
    assert await text(client, "/?city=S%C3%A3o+Paulo") == 'City "São Paulo" is #3448439'


async def test_concurrent_lookups_each_get_their_own_answer(client: Client) -> None:
    expected = {"London": LONDON, "Paris": 2988507, "Berlin": 2950159, "Tokyo": 1850147}
    names = [*expected] * 25
    answers = await asyncio.gather(*(text(client, f"/?city={name}") for name in names))
    assert answers == [f'City "{name}" is #{expected[name]}' for name in names]


async def test_original_statement_finds_the_most_populous_by_an_index(app: Quart) -> None:
    db: QuartMySQL = app.extensions[EXTENSION]
    for statement in (ORIGINAL, FIND_CITY_ID):
        rows = await db.fetch_all(statement, ("London",))
        assert rows[0] == (LONDON,)
        result = await db.execute("EXPLAIN FORMAT=TRADITIONAL " + statement, ("London",))
        plan = dict(zip(result.columns, result.rows[0], strict=True))
        assert (plan["key"], plan["type"]) == ("city_name", "ref")
        assert "filesort" not in (plan["Extra"] or "")


async def test_of_every_shared_name_the_most_populous_is_meant(app: Quart) -> None:
    db: QuartMySQL = app.extensions[EXTENSION]
    shared = await db.fetch_all(
        "SELECT MIN(city), MAX(population) FROM city GROUP BY city HAVING COUNT(*) > 3 LIMIT 50"
    )
    assert len(shared) == 50
    for name, population in shared:
        (original, *_) = await db.fetch_all(ORIGINAL, (name,))
        (ours,) = await db.fetch_all(FIND_CITY_ID, (name,))
        found = await db.fetch_val("SELECT population FROM city WHERE city_id = %s", original)
        assert found == population
        assert ours == original


async def test_one_city(client: Client) -> None:
    status, city = await get(client, f"/cities/{LONDON}")
    assert status == 200
    assert city == {
        "city_id": LONDON,
        "city": "London",
        "country": "United Kingdom",
        "country_code": "GB",
        "population": 8961989,
        "latitude": 51.50853,
        "longitude": -0.12574,
    }


async def test_list_by_name_begins_with_the_most_populous(client: Client) -> None:
    status, page = await get(client, "/cities?name=london")
    assert status == 200
    assert [city["city_id"] for city in page["cities"]] == [LONDON, LONDON_ONTARIO]
    assert page["next_cursor"] is None


async def test_list_by_prefix_and_country(client: Client) -> None:
    _, page = await get(client, "/cities?prefix=lon&country=us&limit=500")
    names = [city["city"] for city in page["cities"]]
    assert "Long Beach" in names
    assert all(name.lower().startswith("lon") for name in names)
    assert {city["country_code"] for city in page["cities"]} == {"US"}


@pytest.mark.parametrize("prefix", ["%", "_", "L%", "!", "\\", "'"])
async def test_wildcards_of_a_prefix_mean_themselves(client: Client, prefix: str) -> None:
    _, page = await get(client, f"/cities?prefix={quote(prefix)}&limit=500")
    assert all(city["city"].startswith(prefix) for city in page["cities"])


async def test_default_page_has_fifty_cities(client: Client) -> None:
    _, page = await get(client, "/cities")
    assert len(page["cities"]) == 50
    assert page["next_cursor"]


@pytest.mark.parametrize("limit", [1, 7, 500])
async def test_pages_hold_every_city_once_in_one_order(client: Client, limit: int) -> None:
    whole = await all_pages(client, "/cities?prefix=san&country=mx&limit=500")
    pages = await all_pages(client, f"/cities?prefix=san&country=mx&limit={limit}")
    assert pages == whole
    assert len({city["city_id"] for city in whole}) == len(whole) > 80


async def test_pages_over_everything_lose_nothing(client: Client, app: Quart) -> None:
    cities = await all_pages(client, "/cities?limit=500")
    count = await app.extensions[EXTENSION].fetch_val("SELECT COUNT(*) FROM city")
    assert len({city["city_id"] for city in cities}) == len(cities) == count


async def test_page_deep_in_the_list_reads_an_index_not_the_table(app: Quart) -> None:
    db: QuartMySQL = app.extensions[EXTENSION]
    result = await db.execute(
        "EXPLAIN FORMAT=TRADITIONAL SELECT city_id FROM city"
        " WHERE city >= 'M' AND (city > 'M' OR population < 5)"
        " ORDER BY city, population DESC, city_id LIMIT 50"
    )
    plan = dict(zip(result.columns, result.rows[0], strict=True))
    assert plan["key"] == "city_name"
    assert "filesort" not in (plan["Extra"] or "")


async def test_countries(client: Client) -> None:
    status, answer = await get(client, "/countries")
    assert status == 200
    assert len(answer["countries"]) == 250
    (kingdom,) = [country for country in answer["countries"] if country["code"] == "GB"]
    assert kingdom == {
        "country_id": 2635167,
        "country": "United Kingdom",
        "code": "GB",
        "code3": "GBR",
        "continent": "EU",
        "capital": "London",
        "population": 66488991,
    }


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=-1", "limit"),
        ("limit=abc", "limit"),
        ("limit=1.5", "limit"),
        (f"limit={'9' * 30}", "limit"),
        ("cursor=abc", "cursor"),
        ("cursor=WyJhIiwxLDJd", "cursor"),
        ("country=GBR", "country"),
        ("country=%27--", "country"),
        ("prefix=%00", "prefix"),
        (f"name={'x' * 10_000}", "name"),
        ("name=%ff", "UTF-8"),
        ("nmae=x", "not known"),
        ("&".join(["limit=1"] * 60), "too many"),
    ],
)
async def test_bad_parameter_is_named(client: Client, query: str, word: str) -> None:
    status, problem = await get(client, f"/cities?{query}")
    assert (status, problem["type"]) == (400, "/problems/invalid-request")
    assert word in problem["detail"]


@pytest.mark.parametrize("name", ["%00", "%ff", "a%0Ab", "x" * 10_000])
async def test_bad_name_is_refused(client: Client, name: str) -> None:
    status, problem = await get(client, f"/?city={name}")
    assert (status, problem["type"]) == (400, "/problems/invalid-request")


@pytest.mark.parametrize(
    "path", ["/cities/1", "/cities/abc", "/cities/-1", f"/cities/{'9' * 5000}", "/cities/", "/x"]
)
async def test_what_is_not_there_is_not_found(client: Client, path: str) -> None:
    status, problem = await get(client, path)
    assert (status, problem["type"]) == (404, "/problems/not-found")


@pytest.mark.parametrize("path", ["/", "/cities", "/cities/1", "/countries"])
@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
async def test_wrong_method_is_refused(client: Client, path: str, method: str) -> None:
    response = await getattr(client, method)(path)
    assert response.status_code == 405
    assert "GET" in response.headers["Allow"]
    assert response.content_type == "application/problem+json"


async def test_ready_while_serving(client: Client) -> None:
    status, state = await get(client, "/health/ready")
    assert (status, state["status"]) == (200, "ready")
    assert state["total"] >= 1
