"""The socket under a change to TLS, which aiomysql duplicates and gives to the event loop.

If that fails early, uvloop closes the descriptor and leaves the socket object unaware: when that is
collected, some time later, it closes whatever has the same number by then, a client's connection or
the loop's own, and libuv aborts the process. Here the duplicate is remembered, and told.
"""

import os
import socket
from typing import Any


class Plain:
    """Stands for the *transport* of the plain connection while it changes to TLS."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._made: socket.socket | None = None
        self._inode = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Tell what the transport tells; its socket is this, for the sake of dup()."""
        found = self._transport.get_extra_info(name, default)
        return found if name != "socket" or found is None else self

    def dup(self) -> socket.socket:
        """Duplicate the socket, and remember that."""
        made: socket.socket = self._transport.get_extra_info("socket").dup()
        self._made, self._inode = made, os.fstat(made.fileno()).st_ino
        return made

    def disown(self) -> None:
        """Have the duplicate forget a descriptor that is not its own any more."""
        if self._made is None or self._made.fileno() < 0:
            return
        try:
            inode = os.fstat(self._made.fileno()).st_ino
        except OSError:
            inode = -1
        if inode != self._inode:
            self._made.detach()
