"""What documents say about files outside: Bluesky's resources and datums, and its streamed ones."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from orchestrator.adapters.documents.frames import Frames, Part, frames_in

ONE_FRAME_A_FILE = ("AD_HDF5_SINGLE", "AD_TIFF")
"""Specs of areaDetector whose files hold one frame each, named by a template."""

DATASET = "/entry/data/data"
"""Where areaDetector's plugin puts frames, unless a resource says otherwise."""

DETECTOR_FILES = "detector_files"
"""Why an attempt failed whose files had no folder, or are not all there."""

LOOK_S = 0.1
"""Seconds between two looks for a file that is not there yet."""


class FileReferences:
    """Collects the references of one attempt, document by document.

    Args:
        data_dir: the data folder. A file that is not where its resource says is looked for in here:
            the folder may have moved.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._resources: dict[str, Mapping[str, Any]] = {}
        self._datums: dict[str, Frames] = {}
        self._shapes: dict[str, Mapping[str, Any]] = {}
        """Data keys of each descriptor."""
        self._streamed: dict[tuple[str, str, int], Frames] = {}
        self._wrong: str | None = None

    def look(self, name: str, document: Mapping[str, Any]) -> None:
        """Take one document; those that refer to no file are passed over."""
        try:
            self._take(name, document)
        except (KeyError, TypeError, ValueError) as error:  # classes of labs write what they like
            self._wrong = self._wrong or f"a document {name!r} refers to no file: {error!r}"

    def _take(self, name: str, document: Mapping[str, Any]) -> None:
        match name:
            case "descriptor":
                self._shapes[document["uid"]] = document["data_keys"]
            case "resource" | "stream_resource":
                self._resources[document["uid"]] = document
            case "datum":
                self._add(document["resource"], document["datum_id"], document["datum_kwargs"])
            case "datum_page":
                for index, datum_id in enumerate(document["datum_id"]):
                    kwargs = {key: of[index] for key, of in document["datum_kwargs"].items()}
                    self._add(document["resource"], datum_id, kwargs)
            case "stream_datum":
                self._add_stream(document)
            case _:
                pass

    def datum(self, datum_id: Any) -> Frames | None:
        """The array that an event names by this id; None when it names none."""
        return self._datums.get(datum_id) if isinstance(datum_id, str) else None

    def streamed(self, descriptor: str) -> Iterator[tuple[str, int, Frames]]:
        """Data key, sequence number and array of each streamed event of a descriptor."""
        for (uid, key, seq_num), frames in self._streamed.items():
            if uid == descriptor:
                yield key, seq_num, frames

    @property
    def files(self) -> dict[tuple[Path, str | None], int]:
        """How many frames each file, and dataset in it, must have."""
        needed: dict[tuple[Path, str | None], int] = defaultdict(int)
        for frames in (*self._datums.values(), *self._streamed.values()):
            for part in frames.parts:
                at = part.path, part.dataset
                needed[at] = max(needed[at], part.stop)
        return dict(needed)

    def problem(
        self, wait_s: float = 0.0, sleep: Callable[[float], None] = time.sleep
    ) -> str | None:
        """Why what the documents refer to is not all there, in one sentence; None when it is.

        Args:
            wait_s: how long a file may take to appear on the read path, seconds.
            sleep: waits between two looks.
        """
        if self._wrong is not None:
            return self._wrong
        looks = math.ceil(wait_s / LOOK_S)  # for all files together
        for (path, dataset), frames in self.files.items():
            while (why := _lacks(path, dataset, frames)) is not None:
                if looks <= 0:
                    return why
                looks -= 1
                sleep(LOOK_S)
        return None

    def sizes(self) -> dict[Path, int]:
        """Bytes of each file that is there."""
        paths = {path for path, _ in self.files if path.is_file()}
        return {path: path.stat().st_size for path in paths}

    def _add(self, resource: str, datum_id: str, kwargs: Mapping[str, Any]) -> None:
        about = self._resources[resource]
        spec, path = about["spec"], self._located(about["root"], about["resource_path"])
        if spec.startswith("AD_HDF5") or spec in ONE_FRAME_A_FILE:
            parts = tuple(_parts(spec, path, about["resource_kwargs"], kwargs))
        else:
            parts = (Part(path, None, 0, 1),)
        self._datums[datum_id] = Frames(parts)

    def _add_stream(self, document: Mapping[str, Any]) -> None:
        about = self._resources[document["stream_resource"]]
        said, key = about["parameters"], about["data_key"]
        path = Path(unquote(urlparse(about["uri"]).path))
        dataset = said.get("dataset") if about["mimetype"] == "application/x-hdf5" else None
        if isinstance(dataset, list):
            dataset = "/".join(dataset)
        shape = self._shapes.get(document["descriptor"], {}).get(key, {}).get("shape") or [1]
        # Joined end to end, a datum takes as many rows of the dataset as its shape begins with.
        rows = 1 if said.get("join_method") == "stack" else int(shape[0] or 1)
        begin, seq_nums = document["indices"]["start"], document["seq_nums"]
        for offset, seq_num in enumerate(range(seq_nums["start"], seq_nums["stop"])):
            first = (begin + offset) * rows
            at = document["descriptor"], key, seq_num
            self._streamed[at] = Frames((Part(path, dataset, first, first + rows),))

    def _located(self, root: str, path: str) -> Path:
        said = Path(root, path)
        moved = self._data_dir / path.lstrip("/")
        return moved if not said.exists() and moved.exists() else said


def _parts(
    spec: str, path: Path, said: Mapping[str, Any], kwargs: Mapping[str, Any]
) -> Iterator[Part]:
    """Where areaDetector's file plugin puts the frames of one datum."""
    per_point = int(said.get("frame_per_point") or 1)
    first = int(kwargs.get("point_number", 0)) * per_point
    dataset = said.get("key", DATASET) if spec.startswith("AD_HDF5") else None
    if spec not in ONE_FRAME_A_FILE:
        yield Part(path, dataset, first, first + per_point)
        return
    for number in range(first, first + per_point):
        name = said["template"] % (f"{path}/", said["filename"], number)
        yield Part(Path(name), dataset, 0, 1)


def _lacks(path: Path, dataset: str | None, frames: int) -> str | None:
    """What is wrong with one file; None when it has all frames."""
    if not path.exists():
        return f"detector file {path} is missing"
    if dataset is None:
        return None if path.is_dir() or path.stat().st_size else f"detector file {path} is empty"
    try:
        found = frames_in(path, dataset)
    except KeyError:
        return f"detector file {path} has no dataset {dataset}"
    except (OSError, RuntimeError, AttributeError, IndexError) as error:
        return f"detector file {path} cannot be read: {error}"
    if found < frames:
        return f"detector file {path} has {found} of {frames} frames"
    return None
