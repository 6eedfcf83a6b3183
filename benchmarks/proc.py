"""What the kernel counts: CPU time, memory and sockets of a group of processes."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
MIB = 1024 * 1024


def processes_of_session(session: int) -> list[int]:
    """Return the processes of a session: a server, its workers, its helpers."""
    return [pid for pid in _all_processes() if _stat(pid, field=6) == session]


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return user and system time that the processes, all threads of them, have used."""
    return sum(_cpu_clock(pid) for pid in pids)


def largest_rss_mib(pids: Iterable[int]) -> float:
    """Return the resident memory of the largest process: the worker."""
    return max((_stat(pid, field=24) * PAGE / MIB for pid in pids), default=0.0)


def connections_to(port: int, pids: Iterable[int]) -> int:
    """Count the TCP connections that the processes hold to a port of the loopback."""
    sockets = _sockets_to(port)
    return sum(inode in sockets for pid in pids for inode in _open_sockets(pid))


def _all_processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _cpu_clock(pid: int) -> float:
    """Read the process's own clock, to the nanosecond: /proc counts in hundredths of a second,
    and a database that has little to do uses ten of them in a run. 0 if the process has ended.
    """
    try:
        return time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3), which Python lacks
    except OSError:
        return 0.0


def _stat(pid: int, *, field: int) -> int:
    """Return a field of /proc/PID/stat by its number in proc(5); 0 if the process has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    after_name = text.rpartition(")")[2].split()
    return int(after_name[field - 3])


def _sockets_to(port: int) -> set[str]:
    wanted, established = f":{port:04X}", "01"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[9] for row in rows if row[2].endswith(wanted) and row[3] == established}


def _open_sockets(pid: int) -> list[str]:
    found = []
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            target = str(entry.readlink())
            if target.startswith("socket:["):
                found.append(target[8:-1])
    except (FileNotFoundError, PermissionError):
        pass  # the process, or one of its files, is gone
    return found
