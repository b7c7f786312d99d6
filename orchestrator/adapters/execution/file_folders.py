"""Tells area detectors where the files of an attempt go: what the key ``files`` says."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.adapters.disk.durable import make_folder
from orchestrator.adapters.documents.file_references import DETECTOR_FILES
from orchestrator.adapters.lab_code.plan_deadline import texts
from orchestrator.domain.errors import PlanFailed
from orchestrator.domain.spec import BUILT_IN, FilesSpec
from orchestrator.ports import PlanRequest


@dataclass(frozen=True, slots=True)
class Folder:
    """Where the files of one attempt go.

    Attributes:
        read: where they are read.
        write: the same folder as the detectors' servers name it.
        root: the part of it that may change when files are moved.
    """

    read: Path
    write: str
    root: Path


def place_files(
    files: FilesSpec, data_dir: Path, request: PlanRequest, devices: Mapping[str, Any]
) -> Folder | None:
    """Tell the detectors that a plan's arguments name where to write.

    Gives the folder; None when none of them writes files.

    Raises:
        PlanFailed: there is no folder.
    """
    used = {text.split(".")[0] for text in texts(request.campaign.plan.args)}
    writers = [one for name, one in devices.items() if name in used and writes_files(one)]
    if not writers:
        return None
    folder = folder_of(files, data_dir, request)
    place(folder, writers)
    return folder


def folder_of(files: FilesSpec, data_dir: Path, request: PlanRequest) -> Folder:
    """The folder of an attempt.

    Raises:
        PlanFailed: the lab's own function raised, or gave no absolute path.
    """
    if files.call is not None:
        return _called(files.call, request.metadata)
    if files.folder == BUILT_IN:
        read, root = (data_dir / request.documents).with_suffix("").absolute(), data_dir.absolute()
        return Folder(read, str(read), root)
    told = {name: request.metadata.get(name) for name in FilesSpec.told}
    read = Path(str(files.folder).format(**told))
    write = str(read) if files.ioc_folder is None else files.ioc_folder.format(**told)
    return Folder(read, write, Path(read.anchor))


def writes_files(device: Any) -> bool:
    """True for a detector with a file plugin of ophyd."""
    return any(_plugins([device]))


def place(folder: Folder, devices: Iterable[Any]) -> None:
    """Make the folder, and have the file plugins of these detectors write into it.

    Raises:
        PlanFailed: it cannot be made.
    """
    try:
        make_folder(folder.read)
    except OSError as error:
        raise PlanFailed(f"no folder for detector files: {error}", DETECTOR_FILES) from error
    for plugin in _plugins(devices):
        plugin.reg_root = str(folder.root)
        is_same = folder.write == str(folder.read)
        plugin.read_path_template = None if is_same else _literal(str(folder.read))
        plugin.write_path_template = _literal(os.path.join(folder.write, ""))


def _plugins(devices: Iterable[Any]) -> Iterator[Any]:
    for device in devices:
        walk = getattr(device, "walk_subdevices", None)
        parts = [part for _, part in walk(include_lazy=False)] if walk else []
        for part in (device, *parts):
            if hasattr(type(part), "write_path_template"):
                yield part


def _literal(path: str) -> str:
    """Ophyd passes it through ``strftime``."""
    return path.replace("%", "%%")


def _called(name: str, metadata: Mapping[str, Any]) -> Folder:
    from devices.loader import dotted

    try:
        given = dotted(name)(dict(metadata))
    except Exception as error:  # a lab's own code may raise anything
        message = f"{name} gave no folder: {type(error).__name__}: {error}"
        raise PlanFailed(message, DETECTOR_FILES) from error
    read, write = given if isinstance(given, tuple) else (given, given)
    if not isinstance(read, (str, Path)) or not Path(read).is_absolute():
        raise PlanFailed(f"{name} gave {read!r}, which is no absolute path", DETECTOR_FILES)
    return Folder(Path(read), str(write), Path(Path(read).anchor))
