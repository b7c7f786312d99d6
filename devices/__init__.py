"""Ophyd devices, one file for each family, and the loader that makes them from a file."""

from devices.setpoint_readback import SetpointReadback
from devices.triggered_detector import TriggeredDetector

__all__ = ["SetpointReadback", "TriggeredDetector"]
