"""The generated pages say what the code says; after a change of the code: `make reference`."""

import ast
import re
from pathlib import Path

import pytest

from tests import rows
from tests.docs.reference import FOLDER, PAGES, ROWS_PAGE

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", PAGES)
def test_generated_page_is_current(name: str) -> None:
    assert (FOLDER / name).read_text() == PAGES[name](), "type: make reference"


def _defined(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def test_every_row_names_tests_that_exist() -> None:
    text = (FOLDER / ROWS_PAGE).read_text()
    for row in rows.ROWS:
        line = re.search(rf"^\| {row} \|.*$", text, re.MULTILINE)
        assert line is not None, row
        named = re.findall(r"`(tests/[^`]+)`", line[0])
        assert named, row
        for test in named:
            file, *parts = test.split("::")
            assert set(parts) <= _defined(ROOT / file), test
