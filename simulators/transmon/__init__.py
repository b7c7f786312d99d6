"""Twin of a transmon qubit whose X gate is tuned: amplitude, DRAG, detuning, duration."""
