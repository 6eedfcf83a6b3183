"""What can be done with cities: find one by name, get one by id, list them page by page."""

from quart_app.cities import repository
from quart_app.cities.model import (
    City,
    CityPage,
    Country,
    Position,
    Search,
    check_name,
    write_cursor,
)
from quart_app.mysql.session import Session


async def find_city_id(session: Session, name: str) -> int | None:
    """Tell the id of the most populous city of that *name*, None if there is none.

    Raises InvalidInput if no city can have that name.
    """
    return await repository.find_city_id(session, check_name(name))


async def fetch_city(session: Session, city_id: int) -> City | None:
    """Fetch the city of that id, None if there is none."""
    return await repository.fetch_city(session, city_id)


async def list_cities(session: Session, search: Search) -> CityPage:
    """List one page of the cities that *search* describes."""
    # One more than asked for tells whether there is a next page.
    found = await repository.list_cities(session, search, limit=search.limit + 1)
    page = found[: search.limit]
    if len(found) == len(page):
        return CityPage(cities=page, next_cursor=None)
    last = page[-1]
    position = Position(city=last.city, population=last.population, city_id=last.city_id)
    return CityPage(cities=page, next_cursor=write_cursor(position))


async def list_countries(session: Session) -> list[Country]:
    """List all countries by name."""
    return await repository.list_countries(session)
