"""Run one server as a child, and end it when its owner ends. A script; imports nothing of ours.

It restarts nothing: when the server exits, so does this. It lives in a session of its own, so
Ctrl-C reaches the owner only, and it has one thread, which is what PR_SET_PDEATHSIG needs.

    python -I -S supervisor.py PROGRAM [ARGUMENT...]

Standard output says the server's pid, then each command when it is done. Standard input takes
commands of one byte: `k` kill, `p` pause, `c` continue. Its end means: stop the server cleanly.
The owner holds the other end, so its death, of whatever cause, is that end.
"""

import ctypes
import os
import select
import signal
import sys

STOP_GRACE = 60.0
PR_SET_PDEATHSIG = 1


def main(command: list[str]) -> int:
    """Run *command* until it exits; return its status as a shell would give it."""
    wake_reader, wake_writer = os.pipe()
    os.set_blocking(wake_writer, False)
    signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _noted)
    server = _spawn(command)
    os.write(1, b"%d\n" % server)
    status = _attend(server, wake_reader)
    if status is None:
        status = _stop(server, wake_reader)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _noted(_number: int, _frame: object) -> None:
    """Let the wakeup descriptor tell; a handler must be there for that."""


def _spawn(command: list[str]) -> int:
    supervisor = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            _die_with(supervisor)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(2, 1)
            os.execv(command[0], command)  # noqa: S606 - the whole point
        except BaseException as error:  # noqa: BLE001 - a forked child must not return
            os.write(2, f"supervisor: {command[0]}: {error}\n".encode())
        os._exit(127)
    return pid


def _die_with(supervisor: int) -> None:
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != supervisor:  # it died before that took hold
        os._exit(1)


def _attend(server: int, wake_reader: int) -> int | None:
    """Obey the owner. Return the server's wait status, or None when it shall be stopped."""
    while True:
        ready, _, _ = select.select([0, wake_reader], [], [])
        if wake_reader in ready:
            numbers = os.read(wake_reader, 512)
            status = _exited(server)
            if status is not None:
                return status
            if any(number != signal.SIGCHLD for number in numbers):
                return None
        if 0 in ready:
            command = os.read(0, 1)
            if not command:
                return None
            status = _obey(server, command)
            if status is not None:
                return status


def _obey(server: int, command: bytes) -> int | None:
    """Do one *command* and say so; return the wait status if the server is gone by then."""
    if command == b"k":
        os.kill(server, signal.SIGKILL)
        return os.waitpid(server, 0)[1]
    if command == b"p":
        os.kill(server, signal.SIGSTOP)
        status = os.waitpid(server, os.WUNTRACED)[1]
        if not os.WIFSTOPPED(status):
            return status
    elif command == b"c":
        os.kill(server, signal.SIGCONT)
    os.write(1, command + b"\n")
    return None


def _exited(server: int) -> int | None:
    pid, status = os.waitpid(server, os.WNOHANG)
    return status if pid else None


def _stop(server: int, wake_reader: int) -> int:
    """Ask for a clean stop, also of a paused server, and wait; kill it after STOP_GRACE."""
    os.kill(server, signal.SIGTERM)
    os.kill(server, signal.SIGCONT)
    status = _exited(server)
    while status is None:
        ready, _, _ = select.select([wake_reader], [], [], STOP_GRACE)
        if not ready:
            os.kill(server, signal.SIGKILL)
            return os.waitpid(server, 0)[1]
        os.read(wake_reader, 512)
        status = _exited(server)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
