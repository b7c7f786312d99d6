"""Writes the beginning of a plan, device, instrument, campaign or twin, with a test that passes.

What is written comes from the folder ``templates/new`` beside this file: a folder for each kind,
where ``NAME`` in a file name, and ``$name``, ``$module``, ``$Class`` and ``$PREFIX`` in its text,
stand for what is made of the name.
"""

import keyword
import re
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Literal, get_args

from orchestrator.domain.errors import Unusable

Kind = Literal["plan", "device", "instrument", "campaign", "twin"]

PACKAGES = ("twin",)
"""Kinds that are a folder of their own."""

FILES = ("instrument", "campaign")
"""Kinds of which the name is one in YAML, and no module's."""

TAKEN = ("plans", "devices", "simulators", "orchestrator", "tests")
"""Names of modules that would hide others."""


def write(kind: Kind, name: str, folder: Path) -> list[Path]:
    """Write the files, and give their paths.

    Args:
        kind: of what is begun.
        name: of it: of a module (``my_plan``), or in a file (``my-campaign``).
        folder: that they are written into, created if need be; a twin gets one of its own in it.

    Raises:
        Unusable: the name cannot be one, a file is there already, or one cannot be written; nothing
            has been overwritten.
    """
    if kind not in get_args(Kind):
        raise Unusable(f"{kind!r} is none of {', '.join(get_args(Kind))}")
    words = _words(kind, name)
    if kind not in FILES and (hidden := _hidden_by(words["module"], folder)) is not None:
        raise Unusable(f"a module {words['module']!r} would hide {hidden}; choose another name")
    folder = folder / words["module"] if kind in PACKAGES else folder
    sources = files("orchestrator.adapters.user_files") / "templates" / "new" / kind
    texts = {
        folder / _file_name(source.name, words): Template(source.read_text()).substitute(words)
        for source in sorted(sources.iterdir(), key=lambda one: one.name)
    }
    if there := [path for path in texts if path.exists()]:
        raise Unusable(f"{there[0]} is there already; nothing was written")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            with path.open("x") as file:
                file.write(text)
    except OSError as error:
        raise Unusable(f"{error.filename or folder}: {error.strerror or error}") from error
    return list(texts)


def _hidden_by(module: str, folder: Path) -> str | None:
    """Where Python finds a module of this name already; None when it would be the first.

    One in the folder itself is none: that nothing is overwritten says so better.
    """
    try:
        found = find_spec(module)
    except (ImportError, ValueError):
        return None
    if found is None:
        return None
    if not found.has_location and not found.submodule_search_locations:
        return "Python's own"
    place = Path(next(iter(found.submodule_search_locations or ()), found.origin or ""))
    return None if place.resolve().parent == folder.resolve() else str(place)


def _words(kind: Kind, name: str) -> dict[str, str]:
    """What stands for the name in a template.

    Raises:
        Unusable: it cannot be a name of this kind.
    """
    module = name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*|[a-z][a-z0-9_]*", name):
        raise Unusable(
            f"{name!r} cannot be a name: it is made of small letters, digits and "
            + ("'-'" if kind in FILES else "'_'")
        )
    if kind not in FILES and (keyword.iskeyword(module) or module in TAKEN):
        raise Unusable(f"{name!r} cannot be the name of a module; choose another")
    return {
        "name": name,
        "module": module,
        "Class": "".join(word.capitalize() for word in module.split("_")),
        "PREFIX": module.upper(),
    }


def _file_name(template: str, words: dict[str, str]) -> str:
    """``test_NAME.py.txt`` gives ``test_my_plan.py``, ``NAME.yaml.txt`` ``my-campaign.yaml``."""
    name = template.removesuffix(".txt")
    word = words["name"] if name.endswith(".yaml") else words["module"]
    return name.replace("NAME", word)
