"""A small beamline of a lab's own: its EPICS server, devices and plan know nothing of Labwright."""
