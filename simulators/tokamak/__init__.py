"""Twin of a burning plasma of ITER's size: the power balance of one pulse."""
