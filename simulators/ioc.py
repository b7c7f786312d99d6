"""Puts a simulated instrument on EPICS Channel Access, on the loopback interface only.

Import this module only in the process that serves: importing caproto takes a third of a second.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

from caproto import (
    AccessRights,
    ChannelChar,
    ChannelData,
    ChannelDouble,
    ChannelEnum,
    ChannelInteger,
    ChannelString,
)
from caproto.asyncio.server import Context

from simulators.fence import CLAIM, Circuit, Fence
from simulators.loopback import LOOPBACK, PortInUse
from simulators.pv import Instrument, Pv, Sleep

TICK = 0.01
"""Wall seconds between two steps while something moves; nothing ticks while all stand still."""

HEARTBEAT = 1.0
"""Wall seconds between two publications of a heartbeat PV."""

CA_STRING = 39
"""Longest text of an EPICS string; longer ones go out as arrays of characters."""


class _Channel(ChannelData):
    """A caproto channel whose client puts go to the `Pv`; `post` publishes its value."""

    def __init__(self, pv: Pv, accept: Callable[[Pv, float], Any], **metadata: Any) -> None:
        super().__init__(value=pv.choices[int(pv.value)] if pv.choices else pv.value, **metadata)
        self.pv = pv
        self.limits = pv.limits
        """What clients read; those of the `Pv` may be newer."""
        self.fence: Fence | None = None
        """Asked before each client's put; None admits all."""
        self._accept = accept

    async def auth_write(self, *args: Any, user_address: Circuit, **kwargs: Any) -> Any:
        """A client's put, with the circuit it came through."""
        if self.fence is not None and self.pv.put is not None:
            data: Any = args[2]  # hostname, username, data
            self.fence.admit(self.pv, _plain(data), user_address)
        return await super().auth_write(*args, user_address=user_address, **kwargs)

    def check_access(self, hostname: str, username: str) -> AccessRights:
        """What a client may do: only what has a put handler can be written."""
        return AccessRights.READ if self.pv.put is None else AccessRights.READ | AccessRights.WRITE

    async def write(self, value: Any, **_: Any) -> None:
        """A client's put. A refusal raises, and reaches the client as a failed put."""
        scalar: Any = self.preprocess_value(value)
        await self._accept(self.pv, float(scalar))

    async def post(self) -> None:
        """Publish the value with a new time stamp."""
        await super().write(self.pv.value, verify_value=False)

    async def show_limits(self) -> None:
        """Give new limits to clients that ask; like an EPICS record, tell nobody of them."""
        self.limits = self.pv.limits
        await self.write_metadata(publish=False, **_limits(self.pv))


class _Double(_Channel, ChannelDouble): ...


class _Integer(_Channel, ChannelInteger): ...


class _Enum(_Channel, ChannelEnum):
    """A choice; clients put its index or its text, and read either. A put arrives as the index."""

    async def post(self) -> None:
        """Publish the choice with a new time stamp."""
        text = self.pv.choices[int(self.pv.value)]
        await ChannelData.write(self, text, verify_value=False)


class _String(_Channel, ChannelString): ...


class _Text(_Channel, ChannelChar): ...


class _Claim(_String):
    """The channel through which a client claims the instrument."""

    async def auth_write(self, *args: Any, user_address: Circuit, **_: Any) -> Any:
        """Bind the fence in the text to the circuit that it came through."""
        assert self.fence is not None  # noqa: S101 (the server gives it one)
        text = _plain(args[2])
        self.fence.claim(text.decode() if isinstance(text, bytes) else str(text), user_address)
        await self.post()


class _Context(Context):
    """Tells the fence which circuits are gone."""

    fence: Fence

    async def circuit_disconnected(self, circuit: Any) -> None:
        """The client has left."""
        self.fence.forget(circuit.circuit.address)
        await super().circuit_disconnected(circuit)


def _plain(data: Any) -> Any:
    """The first element of what a client sent, as a Python object."""
    first: Any = data if isinstance(data, (str, bytes)) else data[0]
    return first.item() if hasattr(first, "item") else first


def _channel(pv: Pv, accept: Callable[[Pv, float], Any]) -> _Channel:
    if isinstance(pv.value, str):
        if len(pv.value) <= CA_STRING:
            return _String(pv, accept)
        return _Text(pv, accept, max_length=len(pv.value) + 1)
    if pv.choices:
        return _Enum(pv, accept, enum_strings=pv.choices)
    metadata: dict[str, Any] = {"units": pv.unit, **_limits(pv)}
    if isinstance(pv.value, int):
        return _Integer(pv, accept, **metadata)
    return _Double(pv, accept, precision=pv.precision, **metadata)


def _limits(pv: Pv) -> dict[str, Any]:
    """The limits as clients read them; both 0 says that there are none."""
    low, high = pv.limits or (0, 0)
    return {
        "lower_ctrl_limit": low,
        "upper_ctrl_limit": high,
        "lower_disp_limit": low,
        "upper_disp_limit": high,
    }


class Ioc:
    """Serves one instrument.

    Args:
        create: makes the instrument, given what waits for lab time.
        extra: further process variables, such as those that say who serves.
        time_compression: lab seconds per wall second.
        fence: who may drive.
    """

    def __init__(
        self,
        create: Callable[[Sleep], Instrument],
        extra: Iterable[Pv],
        time_compression: float,
        fence: Fence,
    ) -> None:
        self._compression = time_compression
        self._fence = fence
        self._instrument = create(self._sleep)
        pvs = (*self._instrument.pvs, *extra, *fence.pvs)
        self._channels = {pv.name: _channel(pv, self._accept) for pv in pvs}
        self._channels[CLAIM] = _Claim(fence.claim_pv, self._accept)
        for channel in self._channels.values():
            channel.fence = fence
        self._names = self._channels | {pv.alias: self._channels[pv.name] for pv in pvs if pv.alias}
        self._moved = asyncio.Event()
        self._stepped_at = time.monotonic()

    async def serve(self, port: int, on_ready: Callable[[], None]) -> None:
        """Serve until cancelled.

        Args:
            port: of TCP and UDP, free on the loopback interface.
            on_ready: called once, when clients can connect.

        Raises:
            PortInUse: someone took the port in the meantime.
        """
        context = _Context(self._names, [LOOPBACK])
        context.fence = self._fence
        ready = asyncio.Event()

        async def started(_: Any) -> None:
            ready.set()

        async with asyncio.TaskGroup() as group:
            group.create_task(context.run(startup_hook=started))
            await ready.wait()
            if context.port != port:
                raise PortInUse(port)
            for listener in context.tcp_sockets.values():
                # asyncio does this only where the socket names its protocol, and caproto's does
                # not: each reply that follows a monitor would wait 40 ms for an acknowledgement.
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _, writer = await asyncio.open_connection(LOOPBACK, port)
            writer.close()
            group.create_task(self._tick())
            group.create_task(self._beat())
            on_ready()

    async def _accept(self, pv: Pv, value: float) -> None:
        self._step()
        self._moved.set()  # a put that is complete at the end of a move waits for the steps
        try:
            await pv.accept(int(value) if isinstance(pv.value, int) else value)
        finally:
            await self._publish()
            self._moved.set()

    async def _sleep(self, seconds: float) -> None:
        await self._publish()
        await asyncio.sleep(seconds / self._compression)

    def _step(self) -> bool:
        now = time.monotonic()
        elapsed, self._stepped_at = now - self._stepped_at, now
        return self._instrument.step(elapsed * self._compression)

    async def _tick(self) -> None:
        while True:
            await self._moved.wait()
            self._moved.clear()
            moving = True
            while moving:
                await asyncio.sleep(TICK)
                moving = self._step()
                await self._publish()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT)
            for channel in self._channels.values():
                if channel.pv.heartbeat:
                    await channel.post()

    async def _publish(self) -> None:
        for channel in self._channels.values():
            if channel.limits is not channel.pv.limits:
                await channel.show_limits()
        for channel in self._channels.values():
            if channel.pv.changed:
                channel.pv.changed = False
                await channel.post()
