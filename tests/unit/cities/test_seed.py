"""What is loaded: the same rows each time, with ids that never change."""

from collections import Counter

import pytest

from quart_app.cities.model import MAX_NAME_LENGTH
from quart_app.cities.seed import Seeding, Table


@pytest.fixture(name="seeding", scope="module")
def _seeding() -> Seeding:
    return Seeding()


def columns(table: Table, *names: str) -> list[tuple[object, ...]]:
    places = [table.columns.index(name) for name in names]
    return [tuple(row[place] for place in places) for row in table.rows]


def test_there_are_as_many_as_promised(seeding: Seeding) -> None:
    country, city = seeding.tables
    assert len(country.rows) == 250
    assert len(city.rows) > 30_000
    assert seeding.total == len(country.rows) + len(city.rows)


def test_ids_are_unique_and_fit(seeding: Seeding) -> None:
    for table in seeding.tables:
        ids = [row[0] for row in table.rows]
        assert len(set(ids)) == len(ids)
        assert all(isinstance(id_, int) and 0 < id_ < 2**32 for id_ in ids)


def test_every_city_is_in_a_country_that_is_loaded(seeding: Seeding) -> None:
    country, city = seeding.tables
    known = set(columns(country, "country_id"))
    assert set(columns(city, "country_id")) <= known


def test_names_fit_and_codes_are_unique(seeding: Seeding) -> None:
    country, city = seeding.tables
    assert all(0 < len(str(name)) <= MAX_NAME_LENGTH for (name,) in columns(city, "city"))
    assert max(Counter(columns(country, "iso2")).values()) == 1


def test_london_is_where_it_is(seeding: Seeding) -> None:
    _, city = seeding.tables
    found = [row for row in columns(city, "city", "city_id") if row[0] == "London"]
    assert sorted(found) == [("London", 2643743), ("London", 6058560)]


def test_statement_has_a_place_for_every_value() -> None:
    statement = Table("t", ("a", "b"), []).upsert(3)
    assert statement == (
        "INSERT INTO t (a, b) VALUES (%s, %s), (%s, %s), (%s, %s)"
        " ON DUPLICATE KEY UPDATE b = VALUES(b)"
    )
