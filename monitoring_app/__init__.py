"""From what was served to what to do next."""
