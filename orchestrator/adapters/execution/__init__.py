"""Trials on an instrument: its plan on a Bluesky RunEngine, or a person who measures."""
