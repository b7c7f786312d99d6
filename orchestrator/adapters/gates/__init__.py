"""One driver for each instrument: gates that let a single worker through."""
