"""The files that a user writes: read, told with the line of a mistake, and begun by ``new``."""
