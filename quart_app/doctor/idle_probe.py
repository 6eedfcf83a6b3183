"""After how many idle seconds does the path to the server drop a connection, and does it say so?

Real connections are left alone, each for its own time, all at once, then asked. Ours have TCP
keepalive off: with it on, as the engine has it, the probe would keep alive what it measures.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace

from quart_app.doctor.idle_search import Answer, How, Try, conclude, ladder, refinement
from quart_app.mysql.config import ConnectConfig, Endpoint
from quart_app.mysql.connector import MySQLDriver
from quart_app.mysql.deadline import within
from quart_app.mysql.driver import Connection

# A ping that is not answered by then will not be.
PING_TIMEOUT = 3.0
TICK = 0.1
# A closed connection's socket gets this long to be gone.
GOODBYE = 1.0
BUSY_EVERY = 1.0
ERROR_MARK, GOODBYE_ERRNO = 0xFF, 4031

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Patient:
    """A connection under observation. *reader* outlives the connection's own closing."""

    connection: Connection
    reader: asyncio.StreamReader
    idle: float
    since: float


class IdleProbe:
    """One measurement.

    Arguments:
        config: how to connect; only the first endpoint is asked.
        up_to: the longest idle time that is tried; the whole takes little longer.
        path_only: have the server wait longer than that, so that only the path can drop.
        ping_timeout: seconds after which an unanswered ping counts as silence.
        progress: is told the seconds that have passed, now and then.
    """

    def __init__(
        self,
        config: ConnectConfig,
        *,
        up_to: float,
        path_only: bool = False,
        ping_timeout: float = PING_TIMEOUT,
        progress: Progress = lambda _: None,
    ) -> None:
        endpoint: Endpoint = config.endpoints[0]
        self._driver = MySQLDriver(replace(config, endpoints=(endpoint,)))
        self._up_to = up_to
        self.path_only = path_only
        self._ping_timeout = ping_timeout
        self._progress = progress
        self._busy_lost = False
        self._done = asyncio.Event()

    async def run(self) -> Answer:
        """Measure. Waits for *up_to* seconds and a ping; raises DatabaseError if none can connect.

        Cancelled, it closes all its connections.
        """
        began = asyncio.get_running_loop().time()
        busy = await self._driver.connect()
        companions = [
            asyncio.create_task(self._keep_busy(busy), name="doctor-busy"),
            asyncio.create_task(self._report(began), name="doctor-progress"),
        ]
        try:
            tries = await self._measure()
            self._done.set()
            await asyncio.wait(companions)
        finally:
            for task in companions:
                task.cancel()
            await asyncio.gather(*companions, return_exceptions=True)
            await _dismiss(busy)
        return conclude(tries, certain=not self._busy_lost)

    async def _measure(self) -> list[Try]:
        tries = await self._round(ladder(self._up_to))
        finer = refinement(conclude(tries), up_to=self._up_to)
        if finer:
            tries += await self._round(finer)
        return tries

    async def _round(self, idles: list[float]) -> list[Try]:
        """Leave one connection alone for each of *idles*; stop at the first that is found dead."""
        async with contextlib.AsyncExitStack() as stack:
            patients = []
            for idle in idles:  # one after another: a burst of logins may itself be refused
                patients.append(await self._admit(idle))
                stack.push_async_callback(_dismiss, patients[-1].connection)
            tries: list[Try] = []
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._watch(patient)) for patient in patients]
                for task in asyncio.as_completed(tasks):
                    result = await task
                    if result is not None:
                        tries.append(result)
                    if result is not None and result.how is not None:
                        # The shorter ones have answered; the longer can only have ended as well.
                        for other in tasks:
                            other.cancel()
                        break
        return tries

    async def _admit(self, idle: float) -> _Patient:
        loop = asyncio.get_running_loop()
        connection = await self._driver.connect()
        reader: asyncio.StreamReader = connection._reader  # noqa: SLF001 # to hear the end of it
        sock = connection._writer.transport.get_extra_info("socket")  # noqa: SLF001 # as above
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)
        if self.path_only:
            with within(self._ping_timeout):
                await connection.run(f"SET SESSION wait_timeout = {int(self._up_to) + 3600:d}")
        return _Patient(connection=connection, reader=reader, idle=idle, since=loop.time())

    async def _watch(self, patient: _Patient) -> Try | None:
        """Leave it alone for its time, listening; then ask."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        patient.connection.on_lost = ended.set
        try:
            async with asyncio.timeout_at(patient.since + patient.idle):
                await ended.wait()
        except TimeoutError:
            return await self._ask(patient)
        return Try(idle=patient.idle, how=_how(patient.reader), at=loop.time() - patient.since)

    async def _ask(self, patient: _Patient) -> Try:
        patient.connection.on_lost = None
        loop = asyncio.get_running_loop()
        asked = loop.time()
        try:
            with within(self._ping_timeout):
                await patient.connection.probe()
        except Exception:  # noqa: BLE001 # whatever the driver raises, it did not answer
            silent = loop.time() - asked >= self._ping_timeout * 0.9
            return Try(idle=patient.idle, how=How.SILENCE if silent else _how(patient.reader))
        return Try(idle=patient.idle)

    async def _keep_busy(self, busy: Connection) -> None:
        """Talk all the time on one more connection: if it is lost too, idleness was not the cause."""
        every = min(BUSY_EVERY, self._up_to / 20)
        try:
            while not self._done.is_set():
                await self._sleep(every)
                with within(self._ping_timeout):
                    await busy.probe()
        except Exception:  # noqa: BLE001 # as above
            self._busy_lost = True

    async def _report(self, began: float) -> None:
        loop = asyncio.get_running_loop()
        while not self._done.is_set():
            await self._sleep(TICK)
            self._progress(min(loop.time() - began, self._up_to))
        self._progress(self._up_to)

    async def _sleep(self, seconds: float) -> None:
        """Sleep, less long if all is done."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._done.wait()


async def _dismiss(connection: Connection) -> None:
    """Take leave, so that the server does not count it as aborted; of the dead, nobody hears."""
    connection.quit()
    await connection.wait_gone(GOODBYE)


def _how(reader: asyncio.StreamReader) -> How:
    """Tell from what came in how the other side ended the connection."""
    packet = bytes(reader._buffer)  # type: ignore[attr-defined] # noqa: SLF001 # no peeking in public
    if len(packet) > 6 and packet[4] == ERROR_MARK:  # noqa: PLR2004 # header, mark, number
        said = int.from_bytes(packet[5:7], "little")
        if said == GOODBYE_ERRNO:
            return How.GOODBYE
    if reader.exception() is not None:
        return How.RST
    return How.FIN
