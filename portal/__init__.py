"""The frame: a small kernel underneath (`portal.core`), the shell on top."""
