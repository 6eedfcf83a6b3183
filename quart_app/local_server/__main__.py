"""`python -m quart_app.local_server`: make sure that this machine has a server, and say which."""

import sys

from quart_app.local_server.errors import NoServerBinary
from quart_app.local_server.obtain import obtain_server


def main() -> int:
    """Return the exit status: 1, with what to type, when there is no server and can be none."""
    try:
        found = obtain_server()
    except NoServerBinary as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"database server: {found} ({found.path})\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
