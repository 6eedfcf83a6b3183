"""The routes of cities."""

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta
from quart import Blueprint, Response, render_template, request
from quart_schema import document_querystring, document_response, tag

from quart_app.cities import service
from quart_app.cities.model import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    MAX_NAME_LENGTH,
    City,
    CityPage,
    Country,
    InvalidInput,
    Search,
    check_country_code,
    check_name,
    read_cursor,
)
from quart_app.extension import current_session
from quart_app.http import query
from quart_app.http.problems import INVALID, NOT_FOUND, Problem, ProblemError, answer

blueprint = Blueprint("cities", __name__)
# Only told, both: check_name() and check_country_code() say more plainly what is wrong.
_IS_NAME = {"maxLength": MAX_NAME_LENGTH, "pattern": r"^[^\x00-\x1f\x7f-\x9f]*$"}
_NAME = Meta(
    description="A city's whole name; case and accents do not count.", extra_json_schema=_IS_NAME
)
_PREFIX = Meta(description="How the name begins.", extra_json_schema=_IS_NAME)
_CODE = Meta(
    description="A country's code, of two letters.",
    extra_json_schema={"pattern": "^([A-Za-z]{2})?$"},
)


class CityAnswer(msgspec.Struct, frozen=True):
    """One sentence: the city's id, or that there is none. Without a name: a page about this API."""

    media_type: ClassVar[str] = "text/plain"
    also: ClassVar[tuple[str, ...]] = ("text/html",)


class CityName(msgspec.Struct, frozen=True):
    """The query of ``GET /``."""

    city: Annotated[str | None, _NAME] = None


class CityQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query of ``GET /cities``."""

    name: Annotated[str | None, _NAME] = None
    prefix: Annotated[str | None, _PREFIX] = None
    country: Annotated[str | None, _CODE] = None
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="Cities on a page.")] = DEFAULT_LIMIT
    cursor: Annotated[str | None, Meta(description="next_cursor of the page before.")] = None

    def search(self) -> Search:
        """Check it against the rules. Raises InvalidInput."""
        return Search(
            name=None if self.name is None else check_name(self.name, what="name"),
            prefix=None if self.prefix is None else check_name(self.prefix, what="prefix"),
            country_code=None if self.country is None else check_country_code(self.country),
            limit=self.limit,
            after=None if self.cursor is None else read_cursor(self.cursor),
        )


class Countries(msgspec.Struct, frozen=True):
    """All countries, by name."""

    countries: list[Country]


@blueprint.get("/")
@tag(["cities"])
@document_querystring(CityName)
@document_response(CityAnswer)
@document_response(Problem, 400)
@document_response(Problem, 503)
async def find_city() -> Response | str:
    """Find a city's id by its name; of several that share it, the most populous one's.

    The answer is text, and 200 whether the city was found or not.
    """
    name = query.read(request).get("city")
    if name is None:
        return await render_template("landing.html")
    city_id = await service.find_city_id(current_session(), name)
    text = f'City "{name}" not found' if city_id is None else f'City "{name}" is #{city_id}'
    return Response(text, content_type="text/plain; charset=utf-8")


@blueprint.get("/cities")
@tag(["cities"])
@document_querystring(CityQuery)
@document_response(CityPage)
@document_response(Problem, 400)
@document_response(Problem, 503)
async def list_cities() -> Response:
    """List and search cities, page by page.

    Ordered by name; of cities that share one, the most populous first. All conditions given must
    hold. Send next_cursor back as cursor, with the same conditions, for the next page.
    """
    search = query.read_as(request, CityQuery).search()
    cities, cursor = await service.list_cities(current_session(), search)
    text = f'{{"cities":[{",".join(cities)}],"next_cursor":{msgspec.json.encode(cursor).decode()}}}'
    return Response(text, content_type="application/json")


@blueprint.get("/cities/<id:city_id>")
@tag(["cities"])
@document_response(City)
@document_response(Problem, 404)
@document_response(Problem, 503)
async def fetch_city(city_id: int) -> Response:
    """Get one city by its id, which is that of geonames.org."""
    city = await service.fetch_city(current_session(), city_id)
    if city is None:
        raise ProblemError(NOT_FOUND, "There is no city with this id.")
    return _json(city)


@blueprint.get("/countries")
@tag(["cities"])
@document_response(Countries)
@document_response(Problem, 503)
async def list_countries() -> Response:
    """List all countries, by name."""
    return _json(Countries(await service.list_countries(current_session())))


@blueprint.errorhandler(InvalidInput)
async def on_invalid_input(error: InvalidInput) -> Response:
    """Answer a broken rule of the model with 400."""
    return answer(INVALID, f"{error}.")


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), content_type="application/json")
