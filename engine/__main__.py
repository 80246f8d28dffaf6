"""Train, measure and recommend from files, without the portal: `python -m engine --help`."""

import sys

from engine.command_line import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
