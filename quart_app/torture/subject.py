"""Who is tortured: our own program, or another one that serves the same G and K."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quart_app.torture.outcome import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A program, by how it is started and what it can be asked for."""

    label: str
    # What to start so that it serves on a port.
    command: Callable[[int], Sequence[str]]
    # What tells it where the database is.
    environment: Callable[[str], Mapping[str, str]]
    # A path that answers 200 once it serves.
    ready: str = "/health/live"
    kinds: tuple[Kind, ...] = tuple(Kind)
    # Where its K goes.
    attempts: str = "attempt"
    # Whether it tells its own state, and keeps the sums that are checked.
    is_ours: bool = True
    folder: Path | None = None


def _ours(_port: int) -> Sequence[str]:
    return (sys.executable, "-m", "quart_app.torture")


def _our_environment(url: str) -> Mapping[str, str]:
    return {"DATABASE_URL": url}


OURS = Subject(label="quart_app", command=_ours, environment=_our_environment)
