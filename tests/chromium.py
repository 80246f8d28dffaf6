"""Which Chromium the tests drive: Debian's build without windows, or whichever is there."""

from shutil import which

# The first takes half the processor time: the others set up a whole profile for every person's window.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
MISSING = "Chromium is not installed (Debian: apt-get install chromium-headless-shell)"


def chromium_path() -> str | None:
    """Find the browser; None where there is none."""
    return next(filter(None, map(which, NAMES)), None)
