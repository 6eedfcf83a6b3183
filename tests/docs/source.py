"""What only the source says: the comment above a field."""

import ast
import inspect
import textwrap


def comments(cls: type) -> dict[str, str]:
    """Return the comment that stands directly above each field of *cls*."""
    lines = textwrap.dedent(inspect.getsource(cls)).splitlines()
    body = ast.parse("\n".join(lines)).body[0]
    assert isinstance(body, ast.ClassDef)
    fields = [node for node in body.body if isinstance(node, ast.AnnAssign)]
    return {ast.unparse(field.target): _above(lines, field.lineno - 1) for field in fields}


def _above(lines: list[str], at: int) -> str:
    first = at
    while lines[first - 1].strip().startswith("#"):
        first -= 1
    return " ".join(line.strip().removeprefix("#").strip() for line in lines[first:at])
