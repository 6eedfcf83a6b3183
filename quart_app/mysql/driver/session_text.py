"""Does a statement, by its text, leave something behind in the session? Text in, answer out.

And the text that asks whether the server is one of a cluster.
"""

import re
from functools import lru_cache

LONG_TEXT_BYTES = 4096

# Statements that begin like this and mention nothing of _TOUCHING leave the session as it was.
_TIDY = re.compile(
    rb"[\s(]*(?:SELECT|INSERT|UPDATE|DELETE|REPLACE|WITH|VALUES|COMMIT|ROLLBACK|BEGIN|START\s+TRANSACTION"
    rb"|SAVEPOINT|RELEASE\s+SAVEPOINT|SHOW|EXPLAIN|DESCRIBE|DESC|KILL)\b",
    re.IGNORECASE,
)
# "@@" only reads what the server is set to; "@" may write a variable of the session.
_TOUCHING = re.compile(rb"(?<!@)@(?!@)|\bGET_LOCK\b|;\s*\S|\bCHAIN\b", re.IGNORECASE)
_LITERAL = re.compile(rb"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"", re.DOTALL)
_NEXT_TRANSACTION = re.compile(rb"\s*SET\s+TRANSACTION\s", re.IGNORECASE)

_IN_GALERA = (
    "(SELECT COUNT(*) FROM information_schema.global_variables"
    " WHERE variable_name = 'WSREP_ON' AND variable_value = 'ON')"
)
_IN_GROUP = (
    "(SELECT COUNT(*) FROM information_schema.plugins"
    " WHERE plugin_name = 'group_replication' AND plugin_status = 'ACTIVE')"
    " + (@@version_comment LIKE '%XtraDB Cluster%')"
)
_UNLIKE = ("tidb", "vitess")


def clustered_sql(version: str) -> str:
    """An expression that is 0 on a server of *version* that is in no cluster."""
    if any(name in version.lower() for name in _UNLIKE):
        return "1"
    return _IN_GALERA if "MariaDB" in version else _IN_GROUP


def touches_session(sql: bytes) -> bool:
    """Tell whether a statement, by its text, may leave something behind in the session.

    Unsure means yes: a needless reset costs a round trip, a missed one shows a user another's
    variables. What a stored function changes does not show in the text, and is not seen.
    """
    if len(sql) > LONG_TEXT_BYTES:  # neither worth keeping nor worth taking its literals out
        return not _TIDY.match(sql) or bool(_TOUCHING.search(sql))
    return _touches_session(sql)


@lru_cache(maxsize=1024)
def _touches_session(sql: bytes) -> bool:
    if not _TIDY.match(sql):
        return True
    return bool(_TOUCHING.search(sql)) and bool(_TOUCHING.search(_LITERAL.sub(b"''", sql)))


def sets_next_transaction(sql: bytes) -> bool:
    """Tell whether a statement sets what the next transaction, and no other, will be like."""
    return _NEXT_TRANSACTION.match(sql) is not None
