"""`python -m tests.rows`: what aiomysql does wrong, row by row, and the tests that hold each.

Exit status 1 if a row has no test. Nothing is run; the tests are only collected.
"""

import contextlib
import io
import sys
from collections import defaultdict

import pytest

ROWS = {
    "A": "a slow connect blocks acquire and release; connections open one by one",
    "B": "wake-ups are lost when a closed connection comes back or a connect fails",
    "C": "acquire has no timeout and its queue no limit",
    "D": "connect_timeout covers TCP only",
    "E": "no read or write timeout; a dead network is noticed after two hours",
    "F": "no back-pressure on writes",
    "G": "ERR packets with sequence 0 are thrown away",
    "H": "unread bytes and FIN on an idle connection go unnoticed",
    "I": "a connection closed by its borrower poisons the free list",
    "J": "transactions and read views leak: autocommit off, status of EOF packets dropped",
    "K": "session state leaks to the next borrower",
    "L": "unread results reach the next borrower",
    "M": "use by two tasks at once, or after release",
    "N": "an error out of sequence during authentication",
    "O": "closing without COM_QUIT",
    "P": "'Event loop is closed' after shutdown",
    "Q": "wait_closed may hang; terminate wakes nobody; clear strands connections",
    "R": "TLS is skipped silently where the server has none",
    "S": "caching_sha2_password: the server's public key is not honoured",
    "T": "unix sockets take no TCP options",
    "U": "the password is fixed",
    "V": "kill() uses a command that MySQL 8.4 no longer has",
    "W": "anything but MySQL's errors out of the driver",
    "X": "executemany is applied in part",
    "Y": "the driver's internals may change under us",
}


class _Collector:
    """A pytest plugin that notes the marks."""

    def __init__(self) -> None:
        self.tests: dict[str, list[str]] = defaultdict(list)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note which tests hold which row; one line for all parameters of a test."""
        for item in session.items:
            for mark in item.iter_markers("row"):
                name = item.nodeid.split("[")[0]
                if name not in self.tests[mark.args[0]]:
                    self.tests[mark.args[0]].append(name)


def collect() -> dict[str, list[str]]:
    """Return the tests of each row."""
    collector = _Collector()
    with contextlib.redirect_stdout(io.StringIO()):
        status = pytest.main(["--collect-only", "-p", "no:randomly"], plugins=[collector])
    if status != pytest.ExitCode.OK:
        message = f"the tests could not be collected ({status!r})"
        raise RuntimeError(message)
    return {row: sorted(collector.tests[row]) for row in ROWS}


def table(tests: dict[str, list[str]]) -> str:
    """Print rows and tests as text."""
    lines = []
    for row, problem in ROWS.items():
        lines.append(f"{row}  {problem}")
        lines += [f"     {name}" for name in tests[row]] or ["     NO TEST"]
    return "\n".join(lines)


def main() -> int:
    """Print the table; tell by the exit status whether it is complete."""
    tests = collect()
    missing = [row for row in ROWS if not tests[row]]
    sys.stdout.write(f"{table(tests)}\n")
    if missing:
        sys.stderr.write(f"rows without a test: {', '.join(missing)}\n")
    return bool(missing)


if __name__ == "__main__":
    sys.exit(main())
