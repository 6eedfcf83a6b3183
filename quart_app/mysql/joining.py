"""May calls of one statement be joined by UNION ALL, and how? Text in, text out.

Every call keeps the statement as its author wrote it, with one column more: the call's number, put
last, so that ``SELECT *`` and ordinals (``ORDER BY 1``) mean what they meant. Joined are only
statements whose meaning in a UNION is the same as alone; unsure means no.
"""

import re

from quart_app.mysql import sqltext

# Comments, variables, other results or locks: what a UNION refuses, or where text may deceive us;
# and what is another each time: two calls with the same parameters are asked for once.
_FORBIDDEN = frozenset(
    {"UNION", "INTERSECT", "EXCEPT", "INTO", "FOR", "LOCK", "PROCEDURE", "WITH"}
    | {"SQL_CALC_FOUND_ROWS", ";", "#", "--", "/*", "@"}
    | {"RAND", "UUID", "UUID_SHORT", "UUID_V4", "UUID_V7", "SYS_GUID", "RANDOM_BYTES"}
    | {"NEXTVAL", "SETVAL", "GET_LOCK", "RELEASE_LOCK", "SLEEP"}
)
_ONE_ROW = re.compile(r"\bLIMIT\s+1\s*$", re.IGNORECASE)


def split(sql: str) -> tuple[str, str] | None:
    """Cut a statement where the call's number goes; None if it must not be joined.

    Not joined is what is no plain SELECT … FROM; what has a parameter before FROM (its type could
    change with the neighbours'); and what orders more than one row (a UNION promises no order).
    """
    text = sql.strip().removesuffix(";").rstrip()
    plain = sqltext.unquoted(text)
    words = sqltext.words(plain)
    if not words or words[0] != ("SELECT", 0):
        return None
    outer = sqltext.outermost(words)
    if outer is None or any(word in _FORBIDDEN for word, _ in words):
        return None
    where = next((at for word, at in outer if word == "FROM"), None)
    if where is None or any(word.startswith("%") and at < where for word, at in words):
        return None
    limited = any(word in ("ORDER", "LIMIT") for word, _ in outer)
    if limited and not _ONE_ROW.search(plain):
        return None
    return text[:where].rstrip(), text[where:]


def join(parts: tuple[str, str], count: int) -> str:
    """The statement for *count* calls; the last column is the number of the call."""
    head, tail = parts
    return " UNION ALL ".join(f"({head}, {number} {tail})" for number in range(count))
