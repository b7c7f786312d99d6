"""Ophyd devices, one file for each family, and the loader that makes them from a file."""

from devices.counting_detector import CountingDetector
from devices.flow_pump import FlowPump
from devices.flyer import Flyer
from devices.mirror_pair import MirrorPair
from devices.selector import Selector
from devices.setpoint_readback import SetpointReadback
from devices.shutter import Shutter
from devices.slits import Slits
from devices.triggered_detector import TriggeredDetector

__all__ = [
    "CountingDetector",
    "FlowPump",
    "Flyer",
    "MirrorPair",
    "Selector",
    "SetpointReadback",
    "Shutter",
    "Slits",
    "TriggeredDetector",
]
