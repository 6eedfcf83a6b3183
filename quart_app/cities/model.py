"""The rules of cities: what a name, a code, a page and a cursor may be. No I/O, no SQL, no HTTP."""

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass

MAX_NAME_LENGTH = 200
MAX_LIMIT = 500
DEFAULT_LIMIT = 50
MAX_CURSOR_LENGTH = 1200
_CHECK_BYTES = 6


class InvalidInput(ValueError):  # noqa: N818 - reads as the domain's word
    """What was asked breaks a rule; the text says which, without repeating what was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class City:
    """A city. Ids are those of geonames.org and never change."""

    city_id: int
    city: str
    country: str
    country_code: str
    population: int
    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Country:
    """A country. Ids are those of geonames.org; codes are ISO 3166's, of two and three letters."""

    country_id: int
    country: str
    code: str
    code3: str
    continent: str
    capital: str
    population: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A place in the list of cities: by name, of equal names the more populous first, then by id."""

    city: str
    population: int
    city_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Which cities to list. *name* is compared by the database's collation, as is *prefix*."""

    name: str | None = None
    prefix: str | None = None
    country_code: str | None = None
    limit: int = DEFAULT_LIMIT
    after: Position | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CityPage:
    """Some cities, and the cursor of those that follow: null on the last page."""

    cities: list[City]
    next_cursor: str | None


def check_name(name: str, *, what: str = "city") -> str:
    """Return *name* if it can be one. Raises InvalidInput."""
    if len(name) > MAX_NAME_LENGTH:
        message = f"{what} is longer than {MAX_NAME_LENGTH} characters"
        raise InvalidInput(message)
    if not name.isprintable() and any(_is_control(character) for character in name):
        message = f"{what} has a control character in it"
        raise InvalidInput(message)
    return name


def check_country_code(code: str) -> str:
    """Return *code* in capitals if it is two letters. Raises InvalidInput."""
    if len(code) != len("GB") or not (code.isascii() and code.isalpha()):
        message = "country should be a code of two letters, as in GB"
        raise InvalidInput(message)
    return code.upper()


def position_of(city: str) -> Position:
    """Tell where in the list a city is, by its JSON."""
    fields = json.loads(city)
    return Position(city=fields["city"], population=fields["population"], city_id=fields["city_id"])


def write_cursor(position: Position) -> str:
    """Write *position* as text for the client to hand back; opaque, and checked on its return."""
    fields = [position.city, position.population, position.city_id]
    payload = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_checksum(payload) + payload).decode().rstrip("=")


def read_cursor(cursor: str) -> Position:
    """Read what write_cursor() wrote. Raises InvalidInput for anything else.

    The checksum finds cursors that were cut or made up by hand. It is no signature: there is
    nothing to protect, since a cursor reaches no row that a search would not.
    """
    try:
        text = cursor[:MAX_CURSOR_LENGTH] + "=" * (-len(cursor) % 4)
        raw = base64.b64decode(text, altchars=b"-_", validate=True)
        payload = raw[_CHECK_BYTES:]
        if raw[:_CHECK_BYTES] != _checksum(payload):
            raise _forged()
        return _position(json.loads(payload))
    except (binascii.Error, ValueError, RecursionError) as exc:
        raise _forged() from exc


def _position(fields: object) -> Position:
    match fields:
        case [str(city), int(population), int(city_id)]:
            city.encode()  # JSON can write half a character
            return Position(city=city, population=population, city_id=city_id)
    raise _forged()


def _forged() -> InvalidInput:
    return InvalidInput("cursor is not one that this server gave")


def _checksum(payload: bytes) -> bytes:
    return hashlib.blake2s(payload, digest_size=_CHECK_BYTES, person=b"cities").digest()


def _is_control(character: str) -> bool:
    return character < " " or "\x7f" <= character <= "\x9f"
