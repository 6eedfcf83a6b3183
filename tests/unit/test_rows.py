"""The table of rows: each has a test, and the command says so."""

import re
from pathlib import Path

import pytest

from tests import rows

MARK = re.compile(r'mark\.row\("(\w+)"\)')


def marked() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {row: [] for row in rows.ROWS}
    for path in sorted(Path(rows.__file__).parent.rglob("test_*.py")):
        for row in MARK.findall(path.read_text()):
            found[row].append(path.name)
    return found


@pytest.mark.parametrize("row", rows.ROWS)
def test_row_is_held_by_a_test(row: str) -> None:
    assert marked()[row]


def test_rows_are_a_to_y() -> None:
    assert list(rows.ROWS) == [chr(code) for code in range(ord("A"), ord("Y") + 1)]


def test_table_shows_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tests = {row: [f"tests/test_{row}.py::test"] for row in rows.ROWS}
    monkeypatch.setattr(rows, "collect", lambda: tests)
    assert rows.main() == 0
    assert "test_Y.py" in capsys.readouterr().out
    tests["K"] = []
    assert rows.main() == 1
    shown = capsys.readouterr()
    assert "NO TEST" in shown.out
    assert "rows without a test: K" in shown.err
