"""Text that a kernel, a build, a mirror or a file gave, without what would steer the terminal that shows it (pure)."""

REPLACED = "\ufffd"


def printable(line: str) -> str:
    """One line of such text; a newline in it is replaced too."""
    return "".join(character if character.isprintable() or character == "\t" else REPLACED for character in line)


def printable_lines(text: str) -> str:
    """Such text with its newlines kept."""
    return "\n".join(map(printable, text.split("\n")))
