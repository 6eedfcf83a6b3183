"""An asynchronous HTTP API over MySQL and MariaDB that never answers "server has gone away"."""

__version__ = "0.1.0"
