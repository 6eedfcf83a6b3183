"""The outermost words of a statement: what is left when quotes and parentheses are looked past.

No parser: enough to tell a plain SELECT … FROM from anything else. Unsure is for the caller to treat
as no.
"""

import re

_FLAGS = re.IGNORECASE | re.DOTALL
_QUOTED = re.compile(r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"|`[^`]*`", _FLAGS)
_WORD = re.compile(r"[A-Za-z_]\w*|\d+|%[s(]|[(),;*#]|--|/\*|@", _FLAGS)

Word = tuple[str, int]  # in capitals, and where it begins


def unquoted(sql: str) -> str:
    """The statement with what is quoted blanked out; of the same length, so that positions stay."""
    return _QUOTED.sub(lambda match: "x" * len(match.group()), sql)


def words(plain: str) -> list[Word]:
    """All words and signs of a statement without quotes."""
    return [(match.group().upper(), match.start()) for match in _WORD.finditer(plain)]


def outermost(found: list[Word]) -> list[Word] | None:
    """Those outside of any parenthesis; None if the parentheses do not match."""
    depth, outer = 0, []
    for word, at in found:
        if word in ("(", "%("):
            depth += 1
        elif word == ")":
            depth -= 1
        elif depth == 0:
            outer.append((word, at))
        if depth < 0:
            return None
    return outer if depth == 0 else None
