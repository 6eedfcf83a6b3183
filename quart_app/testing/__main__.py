"""`python -m quart_app.testing`: make sure that tests find a database server, and say which.

A server is installed from the system's packages only where neither a server program is found nor a
Docker engine can supply one.
"""

import sys

from quart_app.local_server.errors import NoServerBinary
from quart_app.local_server.obtain import obtain_server
from quart_app.testing.offers import offers


def main(arguments: list[str]) -> int:
    """Return the exit status: 1, with what to type, when tests would find no server."""
    if any(argument.startswith("--mysql-url") for argument in arguments):
        return 0
    if all(offer.missing for offer in offers(None)):
        try:
            obtain_server()
        except NoServerBinary as error:
            sys.stderr.write(f"{error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
