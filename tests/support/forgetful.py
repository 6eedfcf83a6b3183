"""A TCP relay that forgets idle connections, as firewalls, NAT and load balancers do."""

import asyncio

from quart_app.torture.cuts import Cut, Direction
from quart_app.torture.proxy import FaultProxy, Link


class ForgetfulProxy(FaultProxy):
    """Ends a connection *how* once nothing has gone through it for *idle* seconds."""

    def __init__(self, host: str, port: int, *, idle: float, how: Cut) -> None:
        super().__init__(host, port)
        self._idle = idle
        self._how = how

    async def _pump(
        self,
        link: Link,
        direction: Direction,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """As FaultProxy's, with a clock on the link that bytes either way set back."""
        watched = asyncio.StreamReader()
        forwarding = asyncio.create_task(super()._pump(link, direction, watched, writer))
        try:
            while data := await reader.read(65536):
                self._wind_up(link)
                watched.feed_data(data)
            watched.feed_eof()
            await forwarding
        finally:
            forwarding.cancel()

    def _wind_up(self, link: Link) -> None:
        previous = _clocks.pop(link, None)
        if previous is not None:
            previous.cancel()
        loop = asyncio.get_running_loop()
        _clocks[link] = loop.call_later(self._idle, link.end, self._how)

    async def stop(self) -> None:
        """Stop, and every clock with it."""
        for link in self._links:
            clock = _clocks.pop(link, None)
            if clock is not None:
                clock.cancel()
        await super().stop()


_clocks: dict[Link, asyncio.TimerHandle] = {}
