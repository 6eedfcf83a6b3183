"""What can be done with cities: find one by name, get one by id, list them page by page."""

from quart_app.cities import repository
from quart_app.cities.model import (
    City,
    Country,
    Search,
    check_name,
    position_of,
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


async def list_cities(session: Session, search: Search) -> tuple[list[str], str | None]:
    """List one page of the cities that *search* describes, and the cursor of the next page.

    The cities stay the JSON that the database wrote: nothing here looks at more than the last one.
    """
    # One more than asked for tells whether there is a next page.
    found = await repository.list_cities(session, search, limit=search.limit + 1)
    page = found[: search.limit]
    return page, write_cursor(position_of(page[-1])) if len(found) > len(page) else None


async def list_countries(session: Session) -> list[Country]:
    """List all countries by name."""
    return await repository.list_countries(session)
