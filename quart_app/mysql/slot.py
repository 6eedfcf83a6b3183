"""One unit of a pool's capacity, apart from the connection that fills it now and then.

A slot never leaves its pool: losing a connection cannot lose capacity (asyncpg's holder has the
idea).
"""

import asyncio
from enum import Enum
from typing import Protocol

from quart_app.mysql.driver import Connection
from quart_app.mysql.leaks import Trace


class SlotState(Enum):
    """Where a slot is. Only these moves exist; MOVES is the same table for the machine.

    EMPTY       -> CONNECTING                        somebody waits, or the minimum is not there
    CONNECTING  -> IDLE | EMPTY                      connected | failed
    IDLE        -> IN_USE | RESERVED | CLOSING       lent | being pinged | lost, too old, unwanted
    RESERVED    -> IDLE | IN_USE | CLOSING           alive | alive, and lent | dead
    IN_USE      -> IDLE | RESETTING | CLOSING        clean | to be reset | not fit to be used again
    RESETTING   -> IDLE | IN_USE | CLOSING           reset | reset, and lent | that failed
    CLOSING     -> EMPTY                             the connection is closed
    """

    EMPTY = "empty"
    CONNECTING = "connecting"
    IDLE = "idle"
    RESERVED = "reserved"
    IN_USE = "in use"
    RESETTING = "resetting"
    CLOSING = "closing"

    __hash__ = object.__hash__  # Enum's own is Python code, on the path of every loan


MOVES: dict[SlotState, frozenset[SlotState]] = {
    SlotState.EMPTY: frozenset({SlotState.CONNECTING}),
    SlotState.CONNECTING: frozenset({SlotState.IDLE, SlotState.EMPTY}),
    SlotState.IDLE: frozenset({SlotState.IN_USE, SlotState.RESERVED, SlotState.CLOSING}),
    SlotState.RESERVED: frozenset({SlotState.IDLE, SlotState.IN_USE, SlotState.CLOSING}),
    SlotState.IN_USE: frozenset({SlotState.IDLE, SlotState.RESETTING, SlotState.CLOSING}),
    SlotState.RESETTING: frozenset({SlotState.IDLE, SlotState.IN_USE, SlotState.CLOSING}),
    SlotState.CLOSING: frozenset({SlotState.EMPTY}),
}


# Who allows fewer idle seconds has them judged at checkout only: the pool's clock would connect anew
# all day to keep the minimum.
RECYCLE_BY_CLOCK = 1.0


class Slot:
    """A place for one connection. Times are the loop's clock, in seconds."""

    __slots__ = (
        "borrowed_at",
        "borrower",
        "connection",
        "expires_at",
        "fresh_until",
        "generation",
        "idle_since",
        "number",
        "ping_at",
        "proved_at",
        "recycle",
        "reported",
        "state",
        "trace",
        "trust",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.state = SlotState.EMPTY
        self.connection: Connection | None = None
        self.generation = 0
        self.expires_at = 0.0  # end of max_lifetime
        self.fresh_until = 0.0  # while idle: until then it may be lent unasked
        self.recycle = 0.0  # idle seconds allowed
        self.trust = 0.0  # how long a sign of life is good for
        self.idle_since = 0.0  # its last borrower gave it back
        self.proved_at = 0.0  # the server last answered
        self.ping_at = 0.0
        self.borrowed_at = 0.0
        self.borrower: asyncio.Task[object] | None = None
        self.trace: Trace = ()
        self.reported = False

    def __repr__(self) -> str:
        return f"<Slot {self.number} {self.state.value}>"

    @property
    def recycled_by_clock(self) -> bool:
        """Whether the idle time allowed is long enough to be ended without a borrower."""
        return self.recycle >= RECYCLE_BY_CLOCK

    def move(self, state: SlotState) -> None:
        """Change state. A move that is not in the table is a fault of the pool, not a caller's."""
        assert state in MOVES[self.state], f"{self!r} cannot become {state.value}"
        self.state = state

    def held(self) -> Connection:
        """The connection, in the states that have one."""
        assert self.connection is not None, f"{self!r} has no connection"
        return self.connection


class Driver(Protocol):
    """What the pool needs of a driver; tests have a scripted one."""

    async def connect(self) -> Connection:
        """Open a connection. Bounded by connect_timeout; raises ConnectError."""

    async def kill(self, connection: Connection) -> bool:
        """End on the server what *connection* was doing when it was closed here. Bounded.

        False: it had ended already. Raises DatabaseError.
        """

    def preferred_due(self, now: float) -> bool:
        """Tell whether to look if the preferred server is back."""

    async def return_to_preferred(self) -> bool:
        """Look. True: it is, and is used from now on. Bounded."""

    def has_choice(self) -> bool:
        """Tell whether there is another server to go to."""

    async def answers(self, connection: Connection) -> bool:
        """Ask the server of *connection* for a sign of life. Bounded."""

    async def move_on(self, connection: Connection) -> bool:
        """Leave the server of *connection* for another. False: there is none. Bounded."""

    def describe(self) -> str:
        """Name the server for a log line, without credentials."""
