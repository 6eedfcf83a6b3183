"""``python -m tests.docs.reference``: write the generated pages of docs/reference from the code."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from tests import rows
from tests.docs import configuration, interface
from tests.docs.tables import page, table

FOLDER = Path(__file__).parents[2] / "docs/reference"
PAGES: dict[str, Callable[[], str]] = {
    "settings.md": configuration.settings,
    "engine_configuration.md": configuration.engine_configuration,
    "command_line.md": configuration.command_line,
    "http_api.md": lambda: asyncio.run(interface.http_api()),
    "engine.md": interface.engine,
    "errors.md": interface.error_page,
    "verdicts.md": interface.verdicts,
}


ROWS_PAGE = "aiomysql_rows.md"


def rows_page() -> str:
    """Write the page of what aiomysql does wrong; the tests are those collected now."""
    found = rows.collect()
    lines = [
        (row, problem, "<br>".join(f"`{test}`" for test in found[row]))
        for row, problem in rows.ROWS.items()
    ]
    return page(
        "What is mended in aiomysql",
        "Twenty-five things that aiomysql 0.3.2 and its pool do wrong or do not do, and the tests that"
        " hold the mending. `python -m tests.rows` prints the table as it is now.",
        table(("row", "aiomysql", "held by"), lines),
    )


def main() -> int:
    """Write every page whose text has changed."""
    for name, make in {**PAGES, ROWS_PAGE: rows_page}.items():
        path, text = FOLDER / name, make()
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            sys.stdout.write(f"docs/reference/{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
