"""``python -m examples.database``: a private server for the tutorial, which hangs up after 5 idle
seconds (``wait_timeout=5``), so that nobody has to wait the usual 8 hours to see the bug.
"""

import asyncio
import sys
import threading
from pathlib import Path

from quart_app.database_url import parse_database_url
from quart_app.local_server import LocalServer, LocalServerError
from quart_app.mysql import Pool, Session

FOLDER = Path(".local/tutorial")


async def fill(url: str) -> None:
    """Make the two tables and put three cities in."""
    async with Pool(parse_database_url(url)) as pool:
        db = Session(pool)
        await db.execute(
            "CREATE TABLE IF NOT EXISTS city"
            " (city_id INT PRIMARY KEY, city VARCHAR(80) NOT NULL, KEY (city))"
        )
        await db.execute(
            "CREATE TABLE IF NOT EXISTS visit"
            " (visit_id INT PRIMARY KEY AUTO_INCREMENT, city VARCHAR(80) NOT NULL)"
        )
        cities = [(1, "London"), (2, "Paris"), (3, "Nairobi")]
        await db.execute_many("REPLACE INTO city (city_id, city) VALUES (%s, %s)", cities)


def main() -> int:
    """Run until Ctrl-C; the data stay for the next time."""
    try:
        with LocalServer(FOLDER, options=["--wait-timeout=5"]) as server:
            asyncio.run(fill(server.url))
            sys.stdout.write(f"export DATABASE_URL='{server.url}'\nCtrl-C stops the server.\n")
            sys.stdout.flush()
            threading.Event().wait()
    except KeyboardInterrupt:
        return 0
    except LocalServerError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
