"""Many runs at once on the workers of a Dask cluster that somebody else keeps."""

from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar

from orchestrator.domain.errors import Unusable

if TYPE_CHECKING:
    from distributed import Client

Wanted = TypeVar("Wanted")
Found = TypeVar("Found")

REACH_S = 10.0
"""Seconds in which the scheduler must answer."""


def on_cluster(
    address: str, wanted: Sequence[Wanted], do: Callable[[Wanted], Found]
) -> Iterator[tuple[Wanted, Found | str]]:
    """Do all of them on the cluster; each with what it gave, or with how it ended, once it is over.

    What is still to be done when the caller goes away is taken back.

    Args:
        address: of the scheduler, such as tcp://127.0.0.1:8786.
        wanted: what travels to a worker, pickled.
        do: a function at the top level of a module that each worker can import.

    Raises:
        Unusable: the package is missing here, nobody answers at the address, there is no worker,
            or one has another version of Labwright.
    """
    try:
        from distributed import Client, as_completed
    except ModuleNotFoundError:
        raise Unusable("Dask is not installed here: pip install 'labwright[dask]'") from None
    try:
        client = Client(address, timeout=REACH_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise Unusable(f"no Dask scheduler answers at {address}: {error}") from error
    with client:
        _refuse_others(client, address)
        futures = {client.submit(do, one, pure=False): one for one in wanted}
        for future in as_completed(futures, loop=client.loop):
            error = future.exception()
            found = future.result() if error is None else f"{type(error).__name__}: {error}"
            yield futures[future], found


def _refuse_others(client: "Client", address: str) -> None:
    """Pass when each worker has this version of Labwright."""
    versions: Any = client.run(_version)  # its type says that it may be awaited, which it may not
    if not versions:
        raise Unusable(f"the Dask cluster at {address} has no worker; start one there")
    for worker, found in versions.items():
        if found != _version():
            raise Unusable(
                f"the Dask worker at {worker} has Labwright {found}, not {_version()}; "
                "install the same there"
            )


def _version() -> str:
    return version("labwright")
