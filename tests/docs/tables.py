"""Markdown, put together."""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table; a bar within a cell is escaped."""
    lines = [" | ".join(head), "|".join("---" for _ in head)]
    lines += [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    return "\n".join(f"| {line.strip()} |" for line in lines)


def code(value: object) -> str:
    """Write *value* as code; nothing stays nothing."""
    return f"`{value}`" if str(value) else ""


def block(text: str, language: str = "text") -> str:
    """Write *text* as a block of code."""
    return f"```{language}\n{text.rstrip()}\n```"


def page(title: str, *parts: str) -> str:
    """Write a page; says at its top that nobody should edit it."""
    made = "% Made from the code by `make reference`; a test compares it. Edit the code instead."
    return "\n\n".join([made, f"# {title}", *parts]) + "\n"
