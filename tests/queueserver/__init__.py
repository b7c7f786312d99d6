"""A bluesky-queueserver as a lab may have it, in an environment of its own."""
