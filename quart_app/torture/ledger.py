"""The account: what the database holds against what clients were told. Reads on its own connection."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC

from quart_app.mysql.driver import Connection
from quart_app.torture.load import ACCOUNTS, CHAPTERS, EPOCH, STEP, STUDENTS
from quart_app.torture.outcome import DENIED, Kind, Outcome, Record

BALANCE = 1000
_COLUMNS = {
    "torture_write": "write_id BIGINT AUTO_INCREMENT PRIMARY KEY, token BIGINT, KEY (token)",
    "torture_entry": "entry_id BIGINT AUTO_INCREMENT PRIMARY KEY, token BIGINT, KEY (token),"
    " source INT, target INT",
    "torture_once": "token BIGINT PRIMARY KEY",
    "torture_account": "account_id INT PRIMARY KEY, balance BIGINT NOT NULL",
}
_COUNTRY = (
    "INSERT IGNORE INTO country"
    " (country_id, country, iso2, iso3, continent, capital, population)"
    " VALUES (1, 'Here', 'HE', 'HER', 'EU', 'London', 1)"
)
_CITY = (
    "INSERT IGNORE INTO city (city_id, city, country_id, population, latitude, longitude)"
    " VALUES (%s, %s, 1, 1, 0, 0)"
)
_UNBALANCED = (
    "SELECT COUNT(*) FROM torture_account AS a WHERE a.balance <> %s"
    " + (SELECT COUNT(*) FROM torture_entry WHERE target = a.account_id)"
    " - (SELECT COUNT(*) FROM torture_entry WHERE source = a.account_id)"
)
_MISCOUNTED = (
    "SELECT COUNT(*) FROM chapter_summary AS s WHERE s.attempts <> (SELECT COUNT(*) FROM attempt"
    " WHERE attempt.student_id = s.student_id AND attempt.chapter_id = s.chapter_id)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What was found. All of it should be zero."""

    lost: int = 0  # acknowledged, and not there
    doubled: int = 0  # there more than once
    denied: int = 0  # "nothing was changed", and there
    torn: int = 0  # transactions and summaries that hold half of what they should

    @property
    def faults(self) -> list[str]:
        """Say in words what is not zero."""
        said = {
            "acknowledged writes lost": self.lost,
            "writes doubled": self.doubled,
            "writes done that were answered with 'nothing was changed'": self.denied,
            "sums that do not add up": self.torn,
        }
        return [f"{count} {what}" for what, count in said.items() if count]


async def prepare(connection: Connection) -> None:
    """Make the tables and rows that the load uses; those of the app are there."""
    for table, columns in _COLUMNS.items():
        await connection.run(f"CREATE TABLE IF NOT EXISTS {table} ({columns}) ENGINE=InnoDB")
    await connection.run(_COUNTRY)
    for number, name in enumerate(("London", "Paris", "Lima", "Oslo"), start=1):
        await connection.run(_CITY, (number, name))
    rows = {
        "INSERT IGNORE INTO student (student_id, name) VALUES (%s, 'A')": STUDENTS,
        "INSERT IGNORE INTO chapter (chapter_id, title) VALUES (%s, 'A')": CHAPTERS,
        "INSERT IGNORE INTO torture_account VALUES (%s, 1000)": ACCOUNTS,
    }
    for statement, count in rows.items():
        for number in range(1, count + 1):
            await connection.run(statement, (number,))


async def count(
    connection: Connection, numbers: range, *, attempts: str = "attempt"
) -> Counter[tuple[Kind, int]]:
    """Count what is there of the requests with these *numbers*; *attempts*: the table of K."""
    bounds = (numbers.start, numbers.stop - 1)
    entries = "SELECT token FROM torture_entry WHERE token BETWEEN %s AND %s"
    found: Counter[tuple[Kind, int]] = Counter()
    for (token,) in (
        await connection.run(
            "SELECT token FROM torture_write WHERE token BETWEEN %s AND %s", bounds
        )
    ).rows:
        found[Kind.W, token] += 1
    for (token,) in (await connection.run(entries, bounds)).rows:
        found[Kind.T, token] += 1
        found[Kind.I, token] += 1
    moments = [(EPOCH + number * STEP).replace(tzinfo=None) for number in bounds]
    taken = f"SELECT taken_at FROM {attempts} WHERE taken_at BETWEEN %s AND %s"  # noqa: S608 - ours
    for (taken_at,) in (await connection.run(taken, moments)).rows:
        found[Kind.K, (taken_at.replace(tzinfo=UTC) - EPOCH) // STEP] += 1
    return found


async def torn(connection: Connection) -> int:
    """Count balances and summaries that are not the sum of their entries."""
    unbalanced = (await connection.run(_UNBALANCED, (BALANCE,))).rows[0][0]
    miscounted = (await connection.run(_MISCOUNTED)).rows[0][0]
    return int(unbalanced) + int(miscounted)


def compare(
    found: Counter[tuple[Kind, int]], records: Iterable[Record], *, torn: int = 0
) -> Account:
    """The account of *found* rows against *records*. Pure."""
    lost = doubled = denied = 0
    for record in records:
        if record.kind is Kind.G:
            continue
        times = found[record.kind, record.number]
        lost += record.outcome is Outcome.OK and times == 0
        doubled += max(0, times - 1)
        denied += record.outcome in DENIED and times > 0
    return Account(lost=lost, doubled=doubled, denied=denied, torn=torn)
