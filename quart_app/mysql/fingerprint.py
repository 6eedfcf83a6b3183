"""A statement without its values: the same for all calls of one query, and safe to log.

Unsure means a value: a number, anything in single or double quotes, whatever follows a quote that is
never closed. Names in backticks stay. Comments go, hints among them.
"""

import re

LONGEST = 500
# What cannot be read in reasonable time is not worth reading.
LONGEST_READ = 20_000

_TOKEN = re.compile(
    r"""
    (?P<gap> \s+ | /\*.*?(?:\*/|\Z) | (?:--(?=\s|\Z)|\#)[^\n]* )
  | (?P<name> `(?:[^`]|``)*` )
  | (?P<value> (?:\b[xbn]|\b_\w+\s*)?'(?:[^'\\]|\\.|'')*(?:'|\\?\Z)
             | "(?:[^"\\]|\\.|"")*(?:"|\\?\Z)
             | `(?:[^`]|``)*\Z
             | (?<![\w$@])(?:\d\w*\.?\w*|\.\d\w*)(?:(?<=[eE])[-+]\d+)? )
  | (?P<word> @{0,2}[\w$]+ )
  | (?P<sign> . )
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_LIST = re.compile(r"\((?:\s?[-+]?\?\s?,?)+\)")
_ROWS = re.compile(r"\(\?\+\)(?:\s?,\s?\(\?\+\))+")
_BRANCHES = re.compile(r"(?P<branch>\bselect \?.*?)(?: union all (?P=branch))+(?!\w)")


def fingerprint(statement: str) -> str:
    """Strip *statement* of its values; lists of any length become one."""
    pieces: list[str] = []
    for match in _TOKEN.finditer(statement[:LONGEST_READ]):
        kind = match.lastgroup
        if kind == "gap":
            if pieces and pieces[-1] != " ":
                pieces.append(" ")
        else:
            pieces.append(_shown(kind, match.group()))
    text = _LIST.sub("(?+)", "".join(pieces).strip())
    text = _BRANCHES.sub(r"\g<branch> union all …", _ROWS.sub("(?+)", text))
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


def _shown(kind: str | None, text: str) -> str:
    if kind == "value":
        return "?"
    return text.lower() if kind == "word" else text
