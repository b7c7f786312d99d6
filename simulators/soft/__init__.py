"""An instrument inside the process: no EPICS, no network, for tests and for measuring overhead."""
