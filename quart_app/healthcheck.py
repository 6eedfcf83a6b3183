"""`python -m quart_app.healthcheck`: exit 0 if the app in this container answers, else 1.

For HEALTHCHECK. It asks whether the process is alive, not whether it is ready: a database that is
away must not get a good container replaced. Standard library only, so it is quick.
"""

import http.client
import os
import sys
from http import HTTPStatus

DEFAULT_BIND = "127.0.0.1:8000"
# What "every address" is called, and where to find it.
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "": "127.0.0.1"}  # noqa: S104 - not bound
TIMEOUT = 2.0


def main() -> int:
    """Ask the first address that QUART_APP_BIND names."""
    host, port = address(os.environ.get("QUART_APP_BIND", DEFAULT_BIND))
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
    try:
        connection.request("GET", "/health/live")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        sys.stderr.write(f"{host}:{port}: {type(error).__name__}: {error}\n")
        return 1
    finally:
        connection.close()
    return 0 if status == HTTPStatus.OK else 1


def address(bind: str) -> tuple[str, int]:
    """Return where to reach what listens on *bind*, the value of QUART_APP_BIND."""
    host, _, port = bind.partition(",")[0].strip().rpartition(":")
    return EVERYWHERE.get(host, host), int(port)


if __name__ == "__main__":
    sys.exit(main())
