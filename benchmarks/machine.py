"""What the figures were measured on."""

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.environments import program

PACKAGES = ("flask", "quart", "fastapi", "ours")


def describe() -> dict[str, str]:
    """Return processor, memory, kernel and versions."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": _first("/proc/cpuinfo", "model name"),
        "cores": str(os.cpu_count()),
        "memory": _first("/proc/meminfo", "MemTotal"),
        "kernel": platform.release(),
        "python": _told([str(program("flask", "python")), "--version"]),
        "database": _told(["mariadbd", "--version"]).removeprefix("mariadbd  "),
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
    }


def versions() -> dict[str, str]:
    """Return what each environment has installed."""
    listing = ["-m", "pip", "list", "--format=freeze", "--disable-pip-version-check"]
    return {
        name: " ".join(_told([str(program(name, "python")), *listing]).split())
        for name in PACKAGES
        if program(name, "python").exists()
    }


def _first(file: str, key: str) -> str:
    path = Path(file)
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "?")


def _told(command: list[str]) -> str:
    if shutil.which(command[0]) is None:
        return "?"
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout.strip()
