"""Socket options that notice a dead network in seconds, not in the two hours of the default.

They do not notice a peer that acknowledges and never answers: only a deadline does.
"""

import socket

IDLE_SECONDS = 15
INTERVAL_SECONDS = 5
PROBES = 3
# How long sent bytes may stay unacknowledged (RFC 5482); Linux only.
USER_TIMEOUT_MS = 10_000


def set_keepalive(sock: socket.socket | None) -> None:
    """Have the kernel give up a silent peer after half a minute; unix sockets need none of it."""
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", IDLE_SECONDS),
        ("TCP_KEEPINTVL", INTERVAL_SECONDS),
        ("TCP_KEEPCNT", PROBES),
        ("TCP_USER_TIMEOUT", USER_TIMEOUT_MS),
    ):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
