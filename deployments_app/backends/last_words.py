"""The end of a server's log, as a row and a page can hold it. Pure."""

LINES_MAX = 50
TEXT_MAX = 8000


def last_words(log: str) -> str:
    """Keep the last lines that say something, without what is no text."""
    lines = [
        "".join(each for each in line if each.isprintable() or each == "\t") for line in log.splitlines()
    ]
    return "\n".join([line.rstrip() for line in lines if line.strip()][-LINES_MAX:])[-TEXT_MAX:]
