"""`python -m quart_app.torture`: serve the torture app, as `quart-app serve` serves the app."""

import os

from quart_app import logs, server
from quart_app.settings import Settings
from quart_app.torture.routes import create_torture_app


def main() -> None:
    """Serve until SIGTERM, or until the program that started it is gone."""
    settings = Settings.from_env()
    logs.configure(settings.log_format, settings.log_level)
    config = server.make_config(settings)
    server.bind(config)
    server.run(
        create_torture_app(settings), config, drain_delay=settings.drain_delay, parent=os.getppid()
    )


if __name__ == "__main__":
    main()
