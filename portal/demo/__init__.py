"""The whole story on a person's machine, told over the public API."""
