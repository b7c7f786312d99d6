"""Which code and which packages make an optimizer's proposals: what its results are kept under."""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from orchestrator.adapters.optimizers.ax_optimizer import PACKAGES
from orchestrator.adapters.optimizers.optimizer_process import registered
from orchestrator.domain.errors import Unusable

OWN = {
    "ax": ("ax_*.py", "sobol_optimizer.py", "rounding.py", "thinning.py"),
    "sobol": ("sobol_optimizer.py",),
}
"""The modules beside this one that decide a proposal of Labwright's own optimizers."""
ARITHMETIC = ("numpy", "scipy")


def optimizer_versions(method: str) -> dict[str, str]:
    """Versions of the packages that decide its proposals, by name.

    Raises:
        OptimizerError: no optimizer is registered under this name.
    """
    entry = registered(method)
    names = [*ARITHMETIC, *(PACKAGES if method != "sobol" else ())]
    if entry.dist is not None and entry.dist.name != "labwright":
        names.append(entry.dist.name)
    return dict(_installed(names))


def optimizer_files(method: str) -> list[Path]:
    """The files of its code: Labwright's own, or all beside the module of a lab's own.

    Raises:
        OptimizerError: no optimizer is registered under this name.
        Unusable: its module is not there.
    """
    entry = registered(method)
    if entry.name in OWN:
        return [file for one in OWN[entry.name] for file in Path(__file__).parent.glob(one)]
    try:
        found = find_spec(entry.module)
    except ModuleNotFoundError:
        found = None
    if found is None or found.origin is None:
        raise Unusable(f"optimizer {method!r} is registered, but there is no {entry.module!r}")
    file = Path(found.origin)
    return [*file.parent.glob("*.py")] if "." in entry.module else [file]


def _installed(names: list[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            pass
