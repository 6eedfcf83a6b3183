"""Which rows are played, and in which order."""

import random
import time
from collections.abc import Iterator, Sequence
from string import ascii_lowercase

import click

from quart_app.torture import hosts
from quart_app.torture.rows import TABLE
from quart_app.torture.rows.row import Row


class Plan:
    """Rows to play: each once; with *seconds*, round and round until they are over.

    With a *seed* in random order, the same for the same seed; *rng* is also what the load draws from.
    """

    def __init__(self, rows: Sequence[Row], *, seed: int | None, seconds: float | None) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - to be the same again, not to be secret
        self._rows = list(rows)
        self._shuffled = seed is not None
        self._seconds = seconds

    def __iter__(self) -> Iterator[Row]:
        until = None if self._seconds is None else time.monotonic() + self._seconds
        while self._rows:
            rows = self.rng.sample(self._rows, len(self._rows)) if self._shuffled else self._rows
            for row in rows:
                if until is not None and time.monotonic() >= until:
                    return
                yield row
            if until is None:
                return


def chosen(
    only: str | None, *, quick: bool, given: bool, table: Sequence[Row] = TABLE
) -> list[Row]:
    """Pick the rows that were asked for, of those that can be played. Raises BadParameter."""
    wanted = [word.strip() for word in only.split(",")] if only else []
    rows = [row for row in table if not wanted or _is_named(row, wanted)]
    unknown = [word for word in wanted if not any(_is_named(row, [word]) for row in table)]
    if unknown:
        raise click.BadParameter(f"no row {', '.join(unknown)}; see --list", param_hint="--only")
    rows = [row for row in rows if row.quick or not quick or wanted]
    return [row for row in rows if not given or row.number in hosts.ROWS_WITHOUT]


def _is_named(row: Row, wanted: list[str]) -> bool:
    return row.number in wanted or row.number.rstrip(ascii_lowercase) in wanted
