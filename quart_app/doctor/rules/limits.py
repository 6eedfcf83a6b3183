"""How much fits: connections, packets; and what counters tell of connections that ended badly."""

from collections.abc import Iterator

from quart_app.doctor.facts import Facts, Ours
from quart_app.doctor.findings import Finding, error, info, ok, warning

HOUR = 3600
# A counter says something once the server is up this long.
ENOUGH_UPTIME = 600
MANY_PER_HOUR = 10
MANY_SHARE = 0.01
MANY = 20
CROWDED = 0.8
# Left to administrators, monitoring, and other programs.
SPARE = 10
# Escaping may double a body; its statement comes on top.
GROWTH, STATEMENT_BYTES = 2, 64 * 1024
KIB = 1024
USUAL_PACKET = 16 * KIB * KIB


def budget(facts: Facts, ours: Ours) -> Iterator[Finding]:
    """Do all our pools fit when all are full?"""
    limit = facts.number("max_connections")
    if limit is None:
        return
    wanted = ours.connections
    product = f"{ours.replicas} replicas x {ours.workers} workers x ({ours.maxsize} + 1) = {wanted}"
    fits = int(limit * CROWDED) // (ours.replicas * ours.workers) - 1
    smaller = f"set QUART_APP_MAXSIZE to {fits} or less, or " if fits > 0 else ""
    remedy = f"{smaller}SET GLOBAL max_connections = {wanted + wanted // 4 + SPARE}"
    if wanted > limit:
        yield error(
            "connection-budget",
            f"we may open {wanted} connections, the server takes {limit:g}",
            f"{product}; one a pool is for killing what nobody waits for any more. Under load the "
            "last ones get 1040 (too many connections), and so does everybody else.",
            remedy,
        )
    elif wanted > limit * CROWDED:
        yield warning(
            "connection-budget",
            f"we may open {wanted} of the server's {limit:g} connections",
            f"{product}. During a rolling restart old and new run together and need more.",
            remedy,
        )
    else:
        yield ok("connection-budget", f"{wanted} of {limit:g} connections may be ours", product)


def peak(facts: Facts, _ours: Ours) -> Iterator[Finding]:
    """How near to its limit the server has been, and whether it turned anybody away."""
    limit, most = facts.number("max_connections"), facts.number("Max_used_connections")
    refused = facts.number("Connection_errors_max_connections") or 0
    if limit is None or most is None:
        return
    if refused:
        yield warning(
            "connections-refused",
            f"the server has turned {refused:g} connections away: too many (1040)",
            f"At its peak it had {most:g} of {limit:g}, counted since it started.",
            f"SET GLOBAL max_connections = {int(limit * 2)}, or find out who opens so many: "
            "SHOW PROCESSLIST",
        )
    elif most >= limit * CROWDED:
        yield warning(
            "connections-peak",
            f"at its peak the server had {most:g} of {limit:g} connections",
            "A little more, and new ones are refused with 1040.",
            f"SET GLOBAL max_connections = {int(limit * 2)}",
        )
    else:
        yield ok("connections-peak", f"peak since start: {most:g} of {limit:g} connections")


def user_limit(facts: Facts, ours: Ours) -> Iterator[Finding]:
    """The limit on connections of our user alone."""
    if 0 < facts.user_limit < ours.connections:
        yield error(
            "user-connection-limit",
            f"our user may have {facts.user_limit} connections, we may open {ours.connections}",
            "Under load new connections fail with 1203 or 1226, although the server has room.",
            f"ALTER USER ... WITH MAX_USER_CONNECTIONS {ours.connections}, "
            "or a smaller QUART_APP_MAXSIZE",
        )


def packet(facts: Facts, ours: Ours) -> Iterator[Finding]:
    """Does the largest body we take fit into a statement?"""
    limit = facts.number("max_allowed_packet")
    needed = ours.max_content_length_bytes * GROWTH + STATEMENT_BYTES
    if limit is None:
        return
    if limit < needed:
        yield warning(
            "packet-size",
            f"max_allowed_packet is {_kib(limit)}, our largest body may need {_kib(needed)}",
            "The server answers a larger statement by hanging up: 1153, or 2006 and 2013 in most "
            "programs. Here it is refused before it is sent.",
            f"SET GLOBAL max_allowed_packet = {max(USUAL_PACKET, -(-needed // KIB) * KIB)}, "
            "or a smaller QUART_APP_MAX_CONTENT_LENGTH_BYTES",
        )
    else:
        yield ok("packet-size", f"max_allowed_packet is {_kib(limit)}: our largest body fits")


def _kib(size: float) -> str:
    return f"{size / KIB:,.0f} KiB"


def aborted_clients(facts: Facts, _ours: Ours) -> Iterator[Finding]:
    """Connections that ended without a goodbye."""
    yield from _aborted(
        facts,
        "Aborted_clients",
        "connections ended without a goodbye",
        "Their client died or forgot them, the server cut them off at wait_timeout, or the network "
        "did. Programs that are stopped without closing their connections count here as well.",
        "SET GLOBAL log_error_verbosity = 3 (MariaDB: log_warnings = 4): the error log then names "
        "each with its user, host and reason. If nothing there explains it, run --probe-idle",
    )


def aborted_connects(facts: Facts, _ours: Ours) -> Iterator[Finding]:
    """Connections that never got as far as logging in."""
    yield from _aborted(
        facts,
        "Aborted_connects",
        "attempts to connect failed",
        "Wrong passwords, handshakes slower than connect_timeout, TLS that does not fit, health "
        "checks that only open the port, or somebody who tries. After max_connect_errors broken "
        "handshakes in a row the server blocks that host (1129).",
        "look for 'Access denied' and 'Got an error reading communication packets' in the error log; "
        "have TCP health checks speak MySQL",
    )


def _aborted(facts: Facts, counter: str, what: str, meaning: str, remedy: str) -> Iterator[Finding]:
    count, uptime = facts.number(counter), facts.number("Uptime")
    attempts = facts.number("Connections")
    if count is None or uptime is None or not attempts:
        return
    per_hour, share = count / max(uptime, 1) * HOUR, count / attempts
    code = counter.lower().replace("_", "-")
    numbers = f"{counter} {count:g}: {per_hour:.1f} an hour, {share:.1%} of all connections"
    if uptime < ENOUGH_UPTIME:
        yield ok(code, f"{counter} {count:g}, but {uptime:g} s of uptime are too short to tell")
    elif count > MANY and per_hour > MANY_PER_HOUR and share > MANY_SHARE:
        yield warning(code, f"many {what} ({numbers})", meaning, remedy)
    elif per_hour > 1:
        yield info(code, f"{what} now and then ({numbers})", meaning)
    else:
        yield ok(code, numbers)


RULES = (budget, peak, user_limit, packet, aborted_clients, aborted_connects)
