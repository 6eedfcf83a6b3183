"""An asynchronous HTTP API over MySQL and MariaDB that never answers "server has gone away"."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quart_app.app import create_app

__version__ = "0.1.0"
__all__ = ["__version__", "create_app"]


def __getattr__(name: str) -> object:
    """Import ``create_app`` when it is asked for: the engine alone must not load Quart."""
    if name == "create_app":
        from quart_app.app import create_app  # noqa: PLC0415 - see above

        return create_app
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
