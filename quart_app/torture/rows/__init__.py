"""The rows of the table of promises, in their order."""

from string import ascii_lowercase

from quart_app.torture.rows import (
    at_rest,
    cluster,
    ends,
    group,
    haproxy,
    limits,
    under_load,
)
from quart_app.torture.rows.row import Row

__all__ = ["CLUSTER", "GROUP", "TABLE"]


def _order(row: Row) -> tuple[int, str]:
    digits = row.number.rstrip(ascii_lowercase)
    return int(digits), row.number


_ALL = (*at_rest.ROWS, *under_load.ROWS, *ends.ROWS, *limits.ROWS)
TABLE: tuple[Row, ...] = tuple(sorted(_ALL, key=_order))
CLUSTER: tuple[Row, ...] = (*cluster.ROWS, *haproxy.ROWS)
GROUP: tuple[Row, ...] = group.ROWS
