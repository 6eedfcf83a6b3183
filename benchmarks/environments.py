"""Virtual environments of the systems, each from its own hash lock, in ``benchmarks/.peers``."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import click

HERE = Path(__file__).parent
ROOT = HERE.parent
LOCKS = HERE / "peers" / "requirements"
FOLDER = HERE / ".peers"
PREFERRED = "python3.13"


def default_python() -> str:
    """Return the interpreter that all systems run on: 3.13 where there is one, else this one."""
    pyenv = sorted(Path("~/.pyenv/versions").expanduser().glob("3.13.*/bin/python"))
    return next((str(path) for path in pyenv), None) or shutil.which(PREFERRED) or sys.executable


def program(environment: str, name: str) -> Path:
    """Return where a program of an environment is."""
    return FOLDER / environment / "bin" / name


def build(environments: Iterable[str], *, python: str) -> None:
    """Make those that are missing or out of date; raises CalledProcessError."""
    for name in environments:
        stamp = FOLDER / name / "built-from"
        wanted = _fingerprint(name, python)
        if not stamp.exists() or stamp.read_text() != wanted:
            click.echo(f"building {FOLDER.name}/{name} …", err=True)
            _build(name, python)
            stamp.write_text(wanted)


def _build(name: str, python: str) -> None:
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    install = [str(program(name, "python")), "-m", "pip", "install", "--quiet"]
    options = ["--disable-pip-version-check", "--require-hashes", "--no-deps"]
    for lock in _locks(name):
        subprocess.run([*install, *options, "-r", str(lock)], check=True, env=_plain_environment())


def _locks(name: str) -> list[Path]:
    own = LOCKS / f"{name}.txt"
    return [ROOT / "requirements.txt", own] if name == "ours" else [own]


def _fingerprint(name: str, python: str) -> str:
    content = b"".join(lock.read_bytes() for lock in _locks(name))
    return f"{python} {hashlib.sha256(content).hexdigest()}"


def _plain_environment() -> dict[str, str]:
    """Return our environment without what would make uWSGI's build pick up another Python."""
    return {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
