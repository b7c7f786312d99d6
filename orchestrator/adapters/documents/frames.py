"""Arrays that lie in files: read when somebody touches them, not before.

Only HDF5 is read here; for other files `Frames` says where they are.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Part:
    """Some frames in one file.

    Attributes:
        path: where the file is read.
        dataset: in an HDF5 file; None for a file of another kind.
        first: number of the first frame, from 0.
        stop: number after the last one.
    """

    path: Path
    dataset: str | None
    first: int
    stop: int


@dataclass(frozen=True, slots=True)
class Frames:
    """The array of one data key in one event: ``numpy.asarray(frames)``, or ``frames[0]``.

    The first axis counts the frames of the event. Each use opens the file anew and reads what is
    asked for: keep what you need twice.

    Attributes:
        parts: where the frames are, in order; one part where all are in one file.
    """

    parts: tuple[Part, ...]

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, in order."""
        return tuple(part.path for part in self.parts)

    def __len__(self) -> int:
        return sum(part.stop - part.first for part in self.parts)

    def __iter__(self) -> Iterator[Any]:
        """One frame after the other; only one is in memory."""
        for part in self.parts:
            for number in range(part.first, part.stop):
                yield _read(part, number, number + 1)[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """All frames.

        Raises:
            OSError: a file is missing or damaged.
            ValueError: it is no HDF5 file, or it has too few frames.
        """
        import numpy as np

        if copy is False:
            raise ValueError("frames are in a file: they are always copied")
        read = [_read(part, part.first, part.stop) for part in self.parts]
        return np.asarray(np.concatenate(read) if len(read) > 1 else read[0], dtype=dtype)

    def read(self) -> Any:
        """All frames, as ``numpy.asarray`` gives them."""
        import numpy as np

        return np.asarray(self)

    def __getitem__(self, key: Any) -> Any:
        """What the same index gives of the array; one frame alone is read alone.

        Raises:
            OSError, ValueError: see ``__array__``.
            IndexError: there is no such frame.
        """
        import numpy as np

        if isinstance(key, int) and len(self.parts) == 1:
            (part,) = self.parts
            number = range(part.first, part.stop)[key]
            return _read(part, number, number + 1)[0]
        return np.asarray(self)[key]


def frames_in(path: Path, dataset: str) -> int:
    """How many frames a dataset of an HDF5 file has.

    Raises:
        OSError: the file is missing, not complete, or no HDF5 file.
        KeyError: it has no such dataset.
    """
    import h5py

    # Without a lock: it is not ours, and some network file systems have none.
    with h5py.File(path, "r", locking=False) as file:
        found: Any = file[dataset]
        return int(found.shape[0])


def _read(part: Part, first: int, stop: int) -> Any:
    if part.dataset is None:
        raise ValueError(f"only HDF5 is read here; {part.path} is of another kind")
    import h5py

    with h5py.File(part.path, "r", locking=False) as file:
        found: Any = file[part.dataset]
        if found.shape[0] < stop:
            raise ValueError(f"{part.path} has {found.shape[0]} frames, not {stop}")
        return found[first:stop]
