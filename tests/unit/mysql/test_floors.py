"""A pool and a connection are built as floors: none uses what only a floor above it has."""

import ast
import inspect
import textwrap

import aiomysql
import pytest

from quart_app.mysql.driver import Connection
from quart_app.mysql.pool import Pool
from quart_app.mysql.session import Session


def names(cls: type) -> tuple[set[str], set[str]]:
    """Tell which members of its own a class defines, and which it uses."""
    defined, used = set[str](), set[str]()
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(cls)))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            defined.add(node.name)
        if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)):
            continue
        if node.value.id == "self":
            (used if isinstance(node.ctx, ast.Load) else defined).add(node.attr)
    return defined, used


@pytest.mark.parametrize("top", [Pool, Connection, Session])
def test_no_floor_uses_what_only_one_above_it_has(top: type) -> None:
    floors = [cls for cls in reversed(top.__mro__) if cls.__module__.startswith("quart_app.")]
    assert len(floors) > 1
    beneath = names(aiomysql.Connection)[0] if top is Connection else set[str]()
    everything = set[str]().union(*(names(floor)[0] for floor in floors))
    for floor in floors:
        defined, used = names(floor)
        beneath |= defined
        assert not (used & everything) - beneath, f"{floor.__name__} reaches upwards"
