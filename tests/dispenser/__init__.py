"""A small lab of its own: a pump that dispenses, a beam that may go, an eye that looks."""
