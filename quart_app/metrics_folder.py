"""The folder where several workers keep their metrics and how they are; whichever is asked adds them up.

Made by the process that starts them: prometheus-client looks for it once, when it is imported. So
this is not in ``quart_app.metrics``, which imports it.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

FOLDER = "PROMETHEUS_MULTIPROC_DIR"


@contextlib.contextmanager
def shared_folder() -> Iterator[Path]:
    """Make the folder for the workers started within; gone at the end.

    A folder set from outside is used, and emptied: numbers of another run would be added to ours.
    """
    given = os.environ.get(FOLDER)
    if given:
        folder = Path(given)
        folder.mkdir(parents=True, exist_ok=True)
        _empty(folder)
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="quart-app-metrics-") as made:
        os.environ[FOLDER] = made
        try:
            yield Path(made)
        finally:
            del os.environ[FOLDER]


def status_file(folder: Path, process: int | str) -> Path:
    """Where a worker leaves how it is; *process*: its number, or a pattern."""
    return folder / f"status.{process}.json"


def forget_worker(pid: int) -> None:
    """Take a worker's gauges out of the sums: it has ended. What it counted stays counted."""
    folder = os.environ.get(FOLDER)
    if folder:
        status_file(Path(folder), pid).unlink(missing_ok=True)
        for file in Path(folder).glob(f"gauge_live*_{pid}.db"):
            file.unlink(missing_ok=True)


def _empty(folder: Path) -> None:
    for file in (*folder.glob("*.db"), *folder.glob(status_file(Path(), "*").name)):
        file.unlink(missing_ok=True)
