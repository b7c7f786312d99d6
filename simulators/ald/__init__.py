"""Twin of a reactor for atomic layer deposition: alumina from trimethylaluminum and water."""
