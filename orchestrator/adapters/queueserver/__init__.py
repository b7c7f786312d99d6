"""A bluesky-queueserver that somebody else keeps, in the place of a RunEngine of our own."""
