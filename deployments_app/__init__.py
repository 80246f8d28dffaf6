"""From an approved promotion to traffic."""
