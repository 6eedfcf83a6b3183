"""The SQL of cities. Functions that take a session; rows in, values out, no rules.

Of cities that share a name the most populous comes first, everywhere: the index on (city, population
DESC) holds them so, and even a plain ``SELECT city_id FROM city WHERE city = %s`` meets it first.
"""

from collections.abc import Iterator
from typing import LiteralString

from quart_app.cities.model import City, Country, Position, Search
from quart_app.mysql.session import Row, Session

FIND_CITY_ID = "SELECT city_id FROM city WHERE city = %s ORDER BY population DESC, city_id LIMIT 1"
_COLUMNS = (
    "SELECT city.city_id, city.city, country.country, country.iso2 AS country_code,"
    " city.population, city.latitude, city.longitude"
)
_CITIES_OF_COUNTRY = _COLUMNS + " FROM city JOIN country ON country.country_id = city.country_id"
# Left to itself MariaDB begins with the 250 countries and sorts all cities, at 50 ms instead of 1.
_CITIES = (
    _COLUMNS + " FROM city FORCE INDEX (city_name)"
    " STRAIGHT_JOIN country ON country.country_id = city.country_id"
)
_CITY = _CITIES_OF_COUNTRY + " WHERE city.city_id = %s"
_COUNTRIES = (
    "SELECT country_id, country, iso2, iso3, continent, capital, population"
    " FROM country ORDER BY country, country_id"
)
_ORDER = " ORDER BY city.city, city.population DESC, city.city_id LIMIT %s"
# Own escape character: a backslash means nothing under the sql_mode NO_BACKSLASH_ESCAPES.
_PREFIX = "city.city LIKE %s ESCAPE '!'"
_AFTER = (
    "city.city >= %s AND (city.city > %s OR city.population < %s"
    " OR (city.population = %s AND city.city_id > %s))"
)


async def find_city_id(session: Session, name: str) -> int | None:
    """Tell the id of the most populous city of that *name*, if there is one."""
    rows = await session.lookup(FIND_CITY_ID)(name)
    return int(rows[0][0]) if rows else None


async def fetch_city(session: Session, city_id: int) -> City | None:
    """Fetch one city, if there is one of that id."""
    row = await session.fetch_first(_CITY, (city_id,))
    return None if row is None else _city(row)


async def list_cities(session: Session, search: Search, *, limit: int) -> list[str]:
    """List at most *limit* cities in the order of Position, each as the JSON of a City."""
    conditions = list(_conditions(search))
    where = " WHERE " + " AND ".join(sql for sql, _ in conditions) if conditions else ""
    args = [value for _, values in conditions for value in values]
    cities = _CITIES if search.country_code is None else _CITIES_OF_COUNTRY
    return await session.fetch_json_rows(cities + where + _ORDER, (*args, limit))


async def list_countries(session: Session) -> list[Country]:
    """List all countries by name."""
    return [_country(row) for row in await session.fetch_all(_COUNTRIES)]


def _conditions(search: Search) -> Iterator[tuple[LiteralString, tuple[object, ...]]]:
    if search.name is not None:
        yield "city.city = %s", (search.name,)
    if search.prefix is not None:
        yield _PREFIX, (_like(search.prefix),)
    if search.country_code is not None:
        yield "country.iso2 = %s", (search.country_code,)
    if search.after is not None:
        yield _AFTER, _after(search.after)


def _like(prefix: str) -> str:
    for special in "!%_":
        prefix = prefix.replace(special, "!" + special)
    return prefix + "%"


def _after(position: Position) -> tuple[object, ...]:
    city, population = position.city, position.population
    return (city, city, population, population, position.city_id)


def _city(row: Row) -> City:
    city_id, city, country, country_code, population, latitude, longitude = row
    return City(
        city_id=city_id,
        city=city,
        country=country,
        country_code=country_code,
        population=population,
        latitude=latitude,
        longitude=longitude,
    )


def _country(row: Row) -> Country:
    country_id, country, code, code3, continent, capital, population = row
    return Country(
        country_id=country_id,
        country=country,
        code=code,
        code3=code3,
        continent=continent,
        capital=capital,
        population=population,
    )
