"""The commands of `python -m engine`, one module each: `add_options(parser)` and `run(asked)`."""
