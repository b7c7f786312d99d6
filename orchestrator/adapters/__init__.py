"""What the flow needs from the world: a folder for each need."""
