"""RunEngines: one of our own in a thread, and a lab's own in its session."""
