"""A detector as EPICS areaDetector serves it: a camera, and a plugin that writes HDF5 files."""

from simulators.areadetector.camera import Camera
from simulators.areadetector.hdf5_plugin import HDF5Plugin

__all__ = ["Camera", "HDF5Plugin"]
