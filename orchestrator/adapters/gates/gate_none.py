"""No gate: for twins that nobody else can reach."""

from orchestrator.domain.errors import LeaseLost


class NoGate:
    """Lets everybody in and remembers fences as long as the process lives."""

    def __init__(self) -> None:
        self._floor = 0

    def enter(self) -> bool:
        """Always True: nothing is kept out."""
        return True

    @property
    def yields(self) -> bool:
        """True: nothing is kept out."""
        return True

    @property
    def floor(self) -> int:
        """Highest fence claimed by this process; 0 when none was."""
        return self._floor

    def claim(self, fence: int) -> None:
        """Remember the fence.

        Raises:
            LeaseLost: this process claimed a higher fence before.
        """
        if fence < self._floor:
            raise LeaseLost(f"fence {fence} is below {self._floor}, which was claimed before")
        self._floor = fence

    def confirm(self, fence: int) -> None:
        """Always pass: nothing here knows of others."""
