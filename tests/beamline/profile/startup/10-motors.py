from ophyd import Component as Cpt
from ophyd import Device, EpicsMotor, EpicsSignal


class Stage(Device):
    x = Cpt(EpicsMotor, "X")
    y = Cpt(EpicsMotor, "Y")


stage = Stage("P:", name="stage")
shutter = EpicsSignal("P:SHUTTER", name="shutter")
