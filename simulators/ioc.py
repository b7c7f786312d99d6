"""Puts a simulated instrument on EPICS Channel Access, on the loopback interface only.

Import this module only in the process that serves: importing caproto takes a third of a second.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from caproto import (
    AccessRights,
    ChannelAlarm,
    ChannelChar,
    ChannelData,
    ChannelDouble,
    ChannelEnum,
    ChannelInteger,
    ChannelString,
)
from caproto.asyncio.server import Context

from simulators.active_faults import ActiveFaults, FaultCourse
from simulators.alarm import AlarmPv, alarm_of
from simulators.faults import FAULT, ON_READS, Fault, FaultError, fault_from, fault_pv
from simulators.fence import CLAIM, Circuit, Fence
from simulators.loopback import LOOPBACK, PortInUse
from simulators.pv import Instrument, PutRefused, Pv, Sleep

TICK = 0.01
"""Wall seconds between two steps while something moves; nothing ticks while all stand still."""

HEARTBEAT = 1.0
"""Wall seconds between two publications of a heartbeat PV."""

CA_STRING = 39
"""Longest text of an EPICS string; longer ones go out as arrays of characters."""

LONGEST_ORDER = 400
"""Characters of the text that causes a fault."""


class _Channel(ChannelData):
    """A caproto channel whose client puts go to the `Pv`; `post` publishes its value."""

    def __init__(self, pv: Pv, accept: Callable[[Pv, float | str], Any], **metadata: Any) -> None:
        severity, status = alarm_of(pv, pv.value)
        super().__init__(
            value=pv.choices[int(pv.value)] if pv.choices else pv.value,
            alarm=ChannelAlarm(severity=severity, status=status),
            **metadata,
        )
        self.pv = pv
        self.limits = pv.limits
        """What clients read; those of the `Pv` may be newer."""
        self.fence: Fence | None = None
        """Asked before each client's put; None admits all."""
        self.faults: ActiveFaults | None = None
        """What clients read wrong; None for nothing."""
        self._accept = accept

    async def auth_write(self, *args: Any, user_address: Circuit, **kwargs: Any) -> Any:
        """A client's put, with the circuit it came through."""
        if self.fence is not None and self.pv.is_writable:
            # hostname, username, data
            self.fence.admit(self.pv, self._shown(args[2]), user_address)
        return await super().auth_write(*args, user_address=user_address, **kwargs)

    def check_access(self, hostname: str, username: str) -> AccessRights:
        """What a client may do: only what has a put handler can be written."""
        return AccessRights.READ | AccessRights.WRITE if self.pv.is_writable else AccessRights.READ

    async def write(self, value: Any, **_: Any) -> None:
        """A client's put. A refusal raises, and reaches the client as a failed put."""
        scalar: Any = self.preprocess_value(value)
        await self._accept(self.pv, float(scalar))

    def _shown(self, data: Any) -> Any:
        """What a client sent, as a file of puts shows it."""
        return _plain(data)

    async def post(self) -> None:
        """Publish the value and its alarm with a new time stamp."""
        pv, faults = self.pv, self.faults
        value = faults.read(pv) if faults else pv.value
        severity, status = faults.alarm(pv, value) if faults else alarm_of(pv, value)
        shown = pv.choices[int(value)] if pv.choices else value
        await super().write(shown, verify_value=False, severity=severity, status=status)

    async def show_limits(self) -> None:
        """Give new limits to clients that ask; like an EPICS record, tell nobody of them."""
        self.limits = self.pv.limits
        await self.write_metadata(publish=False, **_limits(self.pv))


class _Double(_Channel, ChannelDouble): ...


class _Integer(_Channel, ChannelInteger): ...


class _Enum(_Channel, ChannelEnum):
    """A choice; clients put its index or its text, and read either. A put arrives as the index."""


class _Words(_Channel):
    """A text, which clients may put if the `Pv` takes it."""

    async def write(self, value: Any, **_: Any) -> None:
        """A client's put."""
        await self._accept(self.pv, _text(self.preprocess_value(value)))

    def _shown(self, data: Any) -> Any:
        return _text(
            _plain(data) if isinstance(data, (str, bytes)) or len(data) == 1 else bytes(data)
        )


class _String(_Words, ChannelString): ...


class _Text(_Words, ChannelChar): ...


class _Claim(_String):
    """The channel through which a client claims the instrument."""

    async def auth_write(self, *args: Any, user_address: Circuit, **_: Any) -> Any:
        """Bind the fence in the text to the circuit that it came through."""
        assert self.fence is not None  # noqa: S101 (the server gives it one)
        text = _plain(args[2])
        self.fence.claim(text.decode() if isinstance(text, bytes) else str(text), user_address)
        await self.post()


class _Order(_Text):
    """The channel through which anybody causes a fault."""

    order: Callable[[str], None]

    async def auth_write(self, *args: Any, **_: Any) -> Any:
        """Take the fault in the text."""
        text = args[2] if isinstance(args[2], (str, bytes)) else bytes(args[2])
        self.order((text.decode() if isinstance(text, bytes) else text).rstrip("\0"))


def _like(pv: Pv, value: Any) -> float | str:
    """The value in the type of the process variable."""
    if isinstance(pv.value, str):
        return str(value)
    return int(value) if isinstance(pv.value, int) else float(value)


class _Context(Context):
    """Tells the fence which circuits are gone."""

    fence: Fence

    async def circuit_disconnected(self, circuit: Any) -> None:
        """The client has left."""
        self.fence.forget(circuit.circuit.address)
        await super().circuit_disconnected(circuit)

    async def hang_up(self) -> None:
        """Close the connections of all clients, and take no new ones."""
        for listener in self.tcp_sockets.values():
            # caproto closes it without a word to the event loop, which would then not listen to a
            # new socket with the same descriptor.
            asyncio.get_running_loop().remove_reader(listener)
        for circuit in tuple(self.circuits):
            await self.circuit_disconnected(circuit)
            circuit.client.close()


def _plain(data: Any) -> Any:
    """The first element of what a client sent, as a Python object."""
    first: Any = data if isinstance(data, (str, bytes)) else data[0]
    return first.item() if hasattr(first, "item") else first


def _text(given: Any) -> str:
    """A text without the zeros at its end."""
    return (given.decode("latin-1") if isinstance(given, bytes) else str(given)).partition("\0")[0]


def _channel(pv: Pv, accept: Callable[[Pv, float | str], Any]) -> _Channel:
    if isinstance(pv.value, str):
        longest = max(len(pv.value), pv.room)
        if longest <= CA_STRING:
            return _String(pv, accept)
        return _Text(pv, accept, max_length=longest + 1)
    if pv.choices:
        return _Enum(pv, accept, enum_strings=pv.choices)
    metadata: dict[str, Any] = {"units": pv.unit, **_limits(pv)}
    if isinstance(pv.value, int):
        return _Integer(pv, accept, **metadata)
    return _Double(pv, accept, precision=pv.precision, **metadata, **_alarm_limits(pv))


def _limits(pv: Pv) -> dict[str, Any]:
    """The limits as clients read them; both 0 says that there are none."""
    low, high = pv.limits or (0, 0)
    return {
        "lower_ctrl_limit": low,
        "upper_ctrl_limit": high,
        "lower_disp_limit": low,
        "upper_disp_limit": high,
    }


def _alarm_limits(pv: Pv) -> dict[str, float]:
    """The limits of its alarms as clients read them; nothing where it has none."""
    if not isinstance(pv, AlarmPv) or pv.alarm_limits is None:
        return {}
    return {
        "lower_alarm_limit": pv.alarm_limits.lolo,
        "lower_warning_limit": pv.alarm_limits.low,
        "upper_warning_limit": pv.alarm_limits.high,
        "upper_alarm_limit": pv.alarm_limits.hihi,
    }


class Ioc:
    """Serves one instrument.

    Args:
        create: makes the instrument, given what waits for lab time.
        extra: further process variables, such as those that say who serves.
        time_compression: lab seconds per wall second.
        fence: who may drive.
        faults: what will go wrong by itself.
    """

    def __init__(
        self,
        create: Callable[[Sleep], Instrument],
        extra: Iterable[Pv],
        time_compression: float,
        fence: Fence,
        faults: Sequence[Fault] = (),
    ) -> None:
        self._compression = time_compression
        self._fence = fence
        self._instrument = create(self._sleep)
        pvs = (*self._instrument.pvs, *extra, *fence.pvs)
        self._channels = {pv.name: _channel(pv, self._accept) for pv in pvs}
        self._channels[CLAIM] = _Claim(fence.claim_pv, self._accept)
        self._faults = ActiveFaults(self._now, self._sleep)
        self._course = FaultCourse(
            faults, self._faults, self._now, self._sleep, self._break, self._mend
        )
        self._wrong = fault_pv()
        order = _Order(self._wrong, self._accept, max_length=LONGEST_ORDER)
        order.order = self._take_order
        self._channels[FAULT] = order
        for channel in self._channels.values():
            channel.fence, channel.faults = fence, self._faults
        self._names = self._channels | {pv.alias: self._channels[pv.name] for pv in pvs if pv.alias}
        self._moved = asyncio.Event()
        self._found = asyncio.Event()
        """The server may be reached again."""
        self._stepped_at = time.monotonic()

    async def serve(self, port: int, on_ready: Callable[[], None]) -> None:
        """Serve until cancelled.

        Args:
            port: of TCP and UDP, free on the loopback interface.
            on_ready: called once, when clients can connect.

        Raises:
            PortInUse: someone took the port in the meantime.
        """
        async with asyncio.TaskGroup() as group:
            await self._listen(group, port)
            _, writer = await asyncio.open_connection(LOOPBACK, port)
            writer.close()
            group.create_task(self._tick())
            group.create_task(self._beat())
            group.create_task(self._reconnect(group, port))
            group.create_task(self._course.run())
            on_ready()

    async def _listen(self, group: asyncio.TaskGroup, port: int) -> None:
        """Answer clients from now on."""
        self._context = context = _Context(self._names, [LOOPBACK])
        context.fence = self._fence
        ready = asyncio.Event()

        async def started(_: Any) -> None:
            ready.set()

        self._server = group.create_task(context.run(startup_hook=started))
        await ready.wait()
        if context.port != port:
            raise PortInUse(port)
        for listener in context.tcp_sockets.values():
            # asyncio does this only where the socket names its protocol, and caproto's does
            # not: each reply that follows a monitor would wait 40 ms for an acknowledgement.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def _reconnect(self, group: asyncio.TaskGroup, port: int) -> None:
        """Answer again after each fault in which the server could not be reached."""
        while True:
            await self._found.wait()
            self._found.clear()
            await self._listen(group, port)

    async def _break(self, fault: Fault) -> None:
        """A fault begins."""
        pv = self._channels[fault.pv].pv if fault.pv else None
        self._faults.begin(fault, pv)
        self._narrow(pv)
        if fault.fault == "lost":
            await self._context.hang_up()
            self._server.cancel()
        if fault.fault == "trip" and pv is not None and fault.to is not None:
            self._step()  # the time until now went by without the fault
            self._moved.set()  # a put that is complete at the end of a move waits for the steps
            await pv.accept(_like(pv, fault.to))
        await self._show_fault(fault)

    async def _mend(self, fault: Fault) -> None:
        """A fault is over."""
        pv = self._channels[fault.pv].pv if fault.pv else None
        before = self._faults.end(fault)
        self._narrow(pv)
        if fault.fault == "lost" and not self._faults.of("lost"):
            self._found.set()
        if fault.fault == "trip" and pv is not None and not self._faults.of("trip", pv.name):
            self._step()
            self._moved.set()
            await pv.accept(_like(pv, before))
        await self._show_fault(fault)

    def _narrow(self, pv: Pv | None) -> None:
        if pv is not None:
            pv.narrowed = self._faults.limits(pv)

    async def _show_fault(self, fault: Fault) -> None:
        """Clients read the process variable, and what is wrong, as they are now."""
        await self._publish()
        if fault.fault in ON_READS:
            await self._channels[fault.pv].post()
        self._wrong.post(str(self._faults)[: LONGEST_ORDER - 1])
        await self._channels[FAULT].post()
        self._moved.set()

    def _take_order(self, text: str) -> None:
        """A fault that somebody wants now; an empty one ends all.

        Raises:
            PutRefused: it is none, and the message says why.
        """
        if text.strip() in ("", "{}"):
            self._course.clear()
            return
        try:
            self._course.start(fault_from(text, self._instrument.pvs))
        except FaultError as error:
            raise PutRefused(str(error)) from None

    def _now(self) -> float:
        """Lab seconds, from some moment on."""
        return time.monotonic() * self._compression

    async def _accept(self, pv: Pv, value: float | str) -> None:
        await self._faults.before_put(pv, value)
        self._step()
        self._moved.set()  # a put that is complete at the end of a move waits for the steps
        try:
            await pv.accept(_like(pv, value))
            await self._faults.after_put(pv)
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
                for name in self._faults.drifting:
                    moving = True
                    await self._channels[name].post()

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
