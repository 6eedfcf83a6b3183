"""The budget of connections, compared when the app is first connected."""

import pytest

from quart_app import budget
from quart_app.database_url import parse_database_url
from quart_app.settings import Settings


def _settings(*, instances: int, workers: int, maxsize: int) -> Settings:
    return Settings(
        database=parse_database_url("mysql://me@127.0.0.1/mine"),
        instances=instances,
        workers=workers,
        maxsize=maxsize,
    )


@pytest.mark.parametrize(("maxsize", "fits"), [(1, True), (18, True), (24, False), (100, False)])
def test_budget_fits_or_not(maxsize: int, fits: bool) -> None:
    settings = _settings(instances=3, workers=2, maxsize=maxsize)
    assert (budget.warning(settings, limit=150) is None) is fits


def test_warning_has_all_the_numbers() -> None:
    settings = _settings(instances=4, workers=3, maxsize=20)
    text = budget.warning(settings, limit=151)
    assert text is not None
    assert "252" in text
    assert "takes 151" in text
    assert "4 instances x 3 workers x (20 + 1)" in text
