"""After how long the server hangs up, and whether that comes before we would."""

from collections.abc import Iterator

from quart_app.doctor.facts import Facts, Ours
from quart_app.doctor.findings import Finding, info, ok, warning
from quart_app.mysql.lifetime import recycle_after

SHORT_WAIT = 60
LONG_WAIT = 3600
SHORT_NET = 10
SHORT_HANDSHAKE = 5
SHORT_STATEMENT = 1.0


def wait_timeout(facts: Facts, ours: Ours) -> Iterator[Finding]:
    """The server's limit on idle connections against ours: the classic cause of error 2006."""
    limit = facts.number("wait_timeout")
    if limit is None:
        return
    recycle = recycle_after(ours.pool_recycle, limit)
    if not recycle < limit:
        yield warning(
            "wait-timeout-before-recycle",
            f"the server hangs up before we do: wait_timeout {limit:g} s, pool_recycle {_span(recycle)}",
            "The server closes a connection that was idle for wait_timeout seconds; ours would be "
            "replaced only later. Each such connection costs a failed attempt, and programs without "
            "this one's care answer with 2006 or 2013 (server has gone away).",
            f"unset QUART_APP_POOL_RECYCLE, or set it to {max(1, int(limit * 0.8))}",
        )
    elif limit < SHORT_WAIT:
        yield warning(
            "wait-timeout-short",
            f"the server hangs up after {limit:g} idle seconds (wait_timeout)",
            f"This program copes: it replaces connections idle for {recycle:g} s. Others on this "
            "server, and people with a mysql prompt, get 2006, 2013 or 4031 after a short break.",
            "SET GLOBAL wait_timeout = 600",
        )
    else:
        yield ok(
            "wait-timeout",
            f"wait_timeout {limit:g} s, our connections are replaced after {recycle:g} idle seconds",
            "Other programs on this server (aiomysql, SQLAlchemy) need a pool_recycle under "
            f"{limit:g} s as well."
            + (" A firewall is likelier to drop first: --probe-idle." if limit > LONG_WAIT else ""),
        )


def _span(seconds: float) -> str:
    return "never" if seconds == float("inf") else f"{seconds:g} s"


def interactive_timeout(facts: Facts, _ours: Ours) -> Iterator[Finding]:
    """Only clients that call themselves interactive get it: a usual red herring."""
    limit, other = facts.number("interactive_timeout"), facts.number("wait_timeout")
    if limit is not None and other is not None and limit != other:
        yield info(
            "interactive-timeout",
            f"interactive_timeout is {limit:g} s, wait_timeout {other:g} s",
            "The first holds for consoles only, not for programs: what you see in a mysql prompt "
            "(@@wait_timeout shows interactive_timeout there) is not what this program gets.",
        )


def idle_transaction(facts: Facts, ours: Ours) -> Iterator[Finding]:
    """MariaDB closes a connection that holds a transaction open and says nothing."""
    names = ("transaction", "write_transaction", "readonly_transaction")
    for name in (f"idle_{kind}_timeout" for kind in names):
        limit = facts.number(name)
        if limit and limit < ours.request_timeout:
            yield warning(
                "idle-transaction-timeout",
                f"{name} is {limit:g} s, less than a request may take ({ours.request_timeout:g} s)",
                "A handler that waits for something else in the middle of a transaction finds its "
                "connection closed.",
                f"SET GLOBAL {name} = {int(ours.request_timeout * 2)}",
            )


def net_timeouts(facts: Facts, _ours: Ours) -> Iterator[Finding]:
    """How long the server waits in the middle of a packet or a result."""
    meanings = {
        "net_read_timeout": "large uploads over a slow link",
        "net_write_timeout": "large results that a client reads slowly, such as iterate(),",
    }
    for name, what in meanings.items():
        limit = facts.number(name)
        if limit is not None and limit < SHORT_NET:
            yield warning(
                name.replace("_", "-"),
                f"{name} is {limit:g} s",
                f"The server cuts {what} when nothing moves for that long: error 2013 in the "
                "middle of work, and Aborted_clients counts up.",
                f"SET GLOBAL {name} = 60",
            )


def connect_timeout(facts: Facts, _ours: Ours) -> Iterator[Finding]:
    """How long the server waits for a client's part of the handshake."""
    limit = facts.number("connect_timeout")
    if limit is not None and limit < SHORT_HANDSHAKE:
        yield warning(
            "connect-timeout",
            f"the server gives a handshake {limit:g} s (connect_timeout)",
            "A busy client or a slow link is cut off while it logs in ('lost connection at reading "
            "authorization packet'), and Aborted_connects counts up.",
            "SET GLOBAL connect_timeout = 10",
        )


def slow_connect(facts: Facts, ours: Ours) -> Iterator[Finding]:
    """How long connecting took, against what we allow it."""
    if facts.connect_took <= ours.connect_timeout / 2:
        return
    hint = (
        ""
        if facts.is_on("skip_name_resolve")
        else " The server looks up every client's name in the DNS before it answers, "
        "a usual reason: skip_name_resolve is off."
    )
    yield warning(
        "connect-slow",
        f"connecting took {facts.connect_took:.2f} s of the {ours.connect_timeout:g} s allowed",
        f"A little slower, and no connection can be made at all.{hint}",
        "set skip_name_resolve = ON in the server's configuration, or raise QUART_APP_CONNECT_TIMEOUT",
    )


def lock_wait(facts: Facts, ours: Ours) -> Iterator[Finding]:
    """Who gives up first on a locked row: the statement or the whole request."""
    limit = facts.number("innodb_lock_wait_timeout")
    if limit is not None and limit >= ours.request_timeout:
        yield info(
            "lock-wait-timeout",
            f"a statement waits up to {limit:g} s for a row lock, a request {ours.request_timeout:g} s",
            "A request blocked by another transaction ends at its own deadline; it never sees 1205 "
            "and gets no second try. A shorter wait lets it try again in time.",
            f"SET GLOBAL innodb_lock_wait_timeout = {max(1, int(ours.request_timeout / 3))}",
        )


def statement_limit(facts: Facts, _ours: Ours) -> Iterator[Finding]:
    """The server's own limit on how long a statement may run."""
    seconds, name = facts.number("max_statement_time"), "max_statement_time"
    if seconds is None:
        milliseconds, name = facts.number("max_execution_time"), "max_execution_time"
        seconds = None if milliseconds is None else milliseconds / 1000
    if seconds is None:
        return
    if 0 < seconds < SHORT_STATEMENT:
        yield warning(
            "statement-limit",
            f"the server ends statements after {seconds:g} s ({name})",
            "Whatever takes longer fails with 3024 (MySQL) or 1969 (MariaDB), every time.",
            f"SET GLOBAL {name} = {30 if 'statement' in name else 30_000}",
        )
    else:
        limit = f"statements after {seconds:g} s" if seconds else "no statement for being long"
        yield ok("statement-limit", f"the server ends {limit} ({name})")


RULES = (
    wait_timeout,
    interactive_timeout,
    idle_transaction,
    net_timeouts,
    connect_timeout,
    slow_connect,
    lock_wait,
    statement_limit,
)
