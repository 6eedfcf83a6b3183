"""Drive load with wrk, and with siege as the original did. Loopback only, seconds long."""

import json
import resource
import shutil
import subprocess
import uuid
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from benchmarks.systems import TOKEN

SCRIPT = Path(__file__).parent / "wrk.lua"
ANSWER_LIMIT = 10  # seconds: a request that takes longer counts as failed
SPARE = 20.0  # seconds that a load generator may take beyond its run


class Kind(Enum):
    """What is sent."""

    GET = "get"
    NAMES = "names"
    POST = "post"
    MIX = "mix"
    SIEGE = "siege"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the clients saw in one run."""

    requests: int
    seconds: float
    failures: int
    p50_ms: float | None
    p99_ms: float | None
    cpu_seconds: float = 0.0  # of the load generator itself


class LoadFailedError(Exception):
    """The load generator gave no result."""


def missing() -> list[str]:
    """Name the load generators that this machine lacks (siege is only used where present)."""
    return [] if shutil.which("wrk") else ["wrk"]


def has_siege() -> bool:
    """Tell if siege is installed."""
    return shutil.which("siege") is not None


def drive(kind: Kind, url: str, *, concurrency: int, seconds: float) -> Load:
    """Keep *concurrency* connections busy for *seconds*; raises LoadFailedError."""
    before = _children_cpu()
    if kind is Kind.SIEGE:
        done = _siege(url, concurrency=concurrency, seconds=seconds)
    else:
        done = _wrk(kind, url, concurrency=concurrency, seconds=seconds)
    return replace(done, cpu_seconds=_children_cpu() - before)


def _wrk(kind: Kind, url: str, *, concurrency: int, seconds: float) -> Load:
    # One thread: on two cores a second one would only take from the systems under test.
    options = [
        "-t1",
        f"-c{concurrency}",
        f"-d{max(1, round(seconds))}s",
        f"--timeout={ANSWER_LIMIT}s",
    ]
    script = [] if kind is Kind.GET else [kind.value, TOKEN, uuid.uuid4().hex]
    output = _run(["wrk", *options, "-s", str(SCRIPT), url, "--", *script])
    line = next((line for line in output.splitlines() if line.startswith("@")), None)
    if line is None:
        raise LoadFailedError(output[-500:])
    told = json.loads(line[1:])
    return Load(
        requests=told["requests"],
        seconds=told["duration_us"] / 1e6,
        failures=told["status"] + told["socket"] + told["timeout"],
        p50_ms=told["p50_us"] / 1e3,
        p99_ms=told["p99_us"] / 1e3,
    )


def _siege(url: str, *, concurrency: int, seconds: float) -> Load:
    options = ["-b", "-q", "-t", f"{max(1, round(seconds))}S", "-c", str(concurrency)]
    command = ["siege", *options, "--json-output", "--no-parser", url]
    try:
        output = _run(command)
    except subprocess.TimeoutExpired:  # now and then it does not notice that its time is over
        output = _run(command)
    start = output.find("{")
    if start < 0:
        raise LoadFailedError(output[-500:])
    told = json.loads(output[start : output.rfind("}") + 1])
    return Load(
        requests=told["transactions"],
        seconds=told["elapsed_time"],
        failures=told["failed_transactions"],
        p50_ms=None,
        p99_ms=None,
    )


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)  # of those that ended
    return used.ru_utime + used.ru_stime


def _run(command: list[str]) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=ANSWER_LIMIT + SPARE
    )
    return done.stdout
