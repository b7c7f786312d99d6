"""What went wrong in a plan, in one of the fixed words that the ledger keeps."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from orchestrator.domain.errors import LabError, PlanFailed
from orchestrator.domain.misspelt import misspelt_devices
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec


def failure(error: BaseException, devices: Mapping[str, Any]) -> LabError:
    """What stands for an error of the RunEngine: the cause speaks, not the wrapper."""
    chain = list(_chain(error))
    for link in chain:
        if isinstance(link, LabError):
            return link
    gone = disconnected(devices)
    reason = "device_disconnected" if gone else next(filter(None, map(_word, chain)), "plan_failed")
    return PlanFailed(_text(_telling(chain), gone), reason)


def with_misspelt(error: LabError, campaign: CampaignSpec, instrument: InstrumentSpec) -> LabError:
    """The same failure, with the device that may be meant when a plan took a text for a device."""
    if not isinstance(error, PlanFailed) or "'str' object" not in str(error):
        return error
    meant = "; ".join(text for _, text in misspelt_devices(campaign, instrument))
    return PlanFailed(f"{error}; {meant}", error.reason) if meant else error


def disconnected(devices: Mapping[str, Any]) -> list[str]:
    """Names of the devices that have lost their connection."""
    return [name for name, device in devices.items() if getattr(device, "connected", True) is False]


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes, outermost first."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _telling(chain: Iterable[BaseException]) -> BaseException:
    """The outermost error that is more than the RunEngine's wrapper of a failed status."""
    from bluesky.utils import FailedStatus

    links = list(chain)
    return next((link for link in links if not isinstance(link, FailedStatus)), links[0])


def _word(error: BaseException) -> str | None:
    from ophyd.utils.errors import DisconnectedError

    from devices.errors import MoveFailed, StaleReading

    match error:
        case MoveFailed():
            return "not_in_position"
        case StaleReading():
            return "bad_reading"
        case DisconnectedError() | ConnectionError():
            return "device_disconnected"
        case TimeoutError():
            return "device_timeout"
        case _:
            return None


def _text(error: BaseException, gone: list[str]) -> str:
    lost = f"lost connection to {', '.join(gone)}: " if gone else ""
    return f"{lost}{type(error).__name__}: {error}"
