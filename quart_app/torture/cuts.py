"""Where in a stream of MySQL packets a relay is to cut. Pure: bytes in, a decision out.

Packet boundaries can only be found on connections without TLS.
"""

import struct
from dataclasses import dataclass
from enum import Enum

HEADER_BYTES = 4
COM_QUERY = b"\x03"
TOGETHER = b";\n"


class Direction(Enum):
    """Which way bytes go."""

    TO_SERVER = "to server"
    TO_CLIENT = "to client"


class Cut(Enum):
    """How a cut connection ends."""

    FIN = "fin"
    RST = "rst"
    SILENCE = "silence"


@dataclass(slots=True)
class Plan:
    """Cut after *packets* whole packets and *bytes_* more."""

    packets: int
    bytes_: int
    how: Cut

    def copy(self) -> "Plan":
        """The same for another connection: it is used up by counting."""
        return Plan(self.packets, self.bytes_, self.how)


@dataclass(slots=True)
class Tracker:
    """Follows the packet headers of one direction."""

    header: bytes = b""
    missing: int = 0

    def until_boundary(self, data: bytes) -> int | None:
        """How many bytes of *data* end the packet under way; None if it does not end there."""
        used = 0
        if self.missing == 0:
            used = min(HEADER_BYTES - len(self.header), len(data))
            self.header += data[:used]
            if len(self.header) < HEADER_BYTES:
                return None
            self.missing = struct.unpack("<I", self.header[:3] + b"\0")[0]
        body = min(self.missing, len(data) - used)
        self.missing -= body
        if self.missing:
            return None
        self.header = b""
        return used + body


def apply(plan: Plan | None, tracker: Tracker, data: bytes) -> tuple[int, Cut | None]:
    """How many bytes of *data* may pass, and how the connection then ends, if it does."""
    position = 0
    while plan is not None and plan.packets > 0:
        step = tracker.until_boundary(data[position:])
        if step is None:
            return len(data), None
        position += step
        plan.packets -= 1
    if plan is not None:
        if len(data) - position >= plan.bytes_:
            return position + plan.bytes_, plan.how
        plan.bytes_ -= len(data) - position
        return len(data), None
    while position < len(data):
        position += tracker.until_boundary(data[position:]) or len(data)
    return len(data), None


def asks(statement: bytes, data: bytes) -> bool:
    """Whether *data*, what a client wrote at once, is *statement*, alone or sent with others."""
    text = data[HEADER_BYTES:].upper()
    return text[:1] == COM_QUERY and statement in text[1:].split(TOGETHER)
