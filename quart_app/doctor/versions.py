"""Until when a release series gets fixes from its maker, so that no internet is needed.

From the makers' published policies as of 2026-11; a series that is not listed says nothing.
"""

from datetime import date

_MYSQL = {
    "5.5": date(2018, 12, 31),
    "5.6": date(2021, 2, 28),
    "5.7": date(2023, 10, 31),
    "8.0": date(2026, 4, 30),
    "8.4": date(2032, 4, 30),
}
_MARIADB = {
    "5.5": date(2020, 4, 11),
    "10.0": date(2019, 3, 31),
    "10.1": date(2020, 10, 17),
    "10.2": date(2022, 5, 23),
    "10.3": date(2023, 5, 25),
    "10.4": date(2024, 6, 18),
    "10.5": date(2025, 6, 24),
    "10.6": date(2026, 7, 6),
    "10.11": date(2028, 2, 16),
    "11.4": date(2029, 5, 29),
    "11.8": date(2028, 6, 4),
}


def end_of_life(version: str, *, is_mariadb: bool) -> date | None:
    """Tell when the series of *version* (``10.11.6-MariaDB-1``) ends; None if it is not known."""
    series = ".".join(version.partition("-")[0].split(".")[:2])
    return (_MARIADB if is_mariadb else _MYSQL).get(series)
