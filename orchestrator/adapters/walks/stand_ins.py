"""What a plan's messages can be walked on in the place of an instrument's devices."""

from typing import Any, Protocol

from orchestrator.adapters.instruments.device_paths import DevicePaths


class StandIns(Protocol):
    """Devices that stand in for those of an instrument: fakes, or a twin's."""

    paths: DevicePaths

    def at(self, path: str) -> Any:
        """The device at a dotted path.

        Raises:
            PlanFailed: there is none.
        """
        ...

    def go(self, device: Any, value: Any) -> float | None:
        """Let the device be there; gives the lab seconds that it takes, None when not known here.

        It raises what the device has against it.
        """
        ...

    def position(self, device: Any) -> float | None:
        """Where the device stands; None when nobody knows."""
        ...

    def read(self, device: Any) -> dict[str, Any]:
        """What a message ``read`` gives."""
        ...

    def describe(self, device: Any) -> dict[str, Any]:
        """The data keys of the device."""
        ...
