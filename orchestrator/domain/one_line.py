"""Text of people and plans, made fit for a line of a log, a screen or a notice."""


def one_line(text: str) -> str:
    """The text with every run of spaces, ends of lines and unprintable characters as one space."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
