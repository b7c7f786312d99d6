"""Which code and which packages make an optimizer's proposals: what its results are kept under."""

import platform
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from importlib.util import find_spec
from pathlib import Path

from orchestrator.adapters.disk.code_digest import code_digest
from orchestrator.adapters.optimizers.ax_optimizer import PACKAGES
from orchestrator.domain.errors import OptimizerError, Unusable, near
from orchestrator.domain.proposal import Suggestion

GROUP = "labwright.optimizers"
"""Entry points that name an optimizer: a class without arguments that keeps ports.Optimizer. It
may have a method ``warm_up()`` that imports what its first suggestion needs, and a method
``without_quality()`` that gives an optimizer with the same proposals, and without details that
cost time and only a reader of the campaign wants."""
OWN = {
    "ax": ("ax_*.py", "sobol_optimizer.py", "rounding.py", "thinning.py"),
    "sobol": ("sobol_optimizer.py",),
}
"""The modules beside this one that decide a proposal of Labwright's own optimizers."""
ARITHMETIC = ("numpy", "scipy")


def registered(method: str) -> EntryPoint:
    """The entry point of an optimizer; ``auto`` means ax.

    Raises:
        OptimizerError: no optimizer is registered under this name.
    """
    name = "ax" if method == "auto" else method
    known = entry_points(group=GROUP)
    if name not in known.names:
        raise OptimizerError(f"no optimizer is called {name!r}{near(name, {*known.names, 'auto'})}")
    return known[name]


def with_code(suggestion: Suggestion, method: str) -> Suggestion:
    """The suggestion with ``code`` and ``python`` among its details.

    Both, because another Python may give the same code another digest.

    Raises:
        OptimizerError, Unusable: as optimizer_code.
    """
    by = {"code": optimizer_code(method), "python": platform.python_version()}
    return replace(suggestion, details={**suggestion.details, **by})


@cache
def optimizer_code(method: str) -> str:
    """A digest of what its code does, taken once: files may change while the code runs.

    Raises:
        OptimizerError: no optimizer is registered under this name.
        Unusable: its module is not there.
    """
    return code_digest(optimizer_files(method))


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
