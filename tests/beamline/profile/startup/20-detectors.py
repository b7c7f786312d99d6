from ophyd import EpicsSignalRO

i0 = EpicsSignalRO("P:I0", name="i0", kind="hinted")
ring_current = EpicsSignalRO("P:RING", name="ring_current", auto_monitor=True)

sd.baseline = [ring_current, stage]
