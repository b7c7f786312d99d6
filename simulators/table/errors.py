"""What is wrong with a table or its header."""


class BadTable(ValueError):
    """The message names the file, the place in it, what was found and what would be right."""
