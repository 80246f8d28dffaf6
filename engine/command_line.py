"""Train, measure and recommend from files, without the portal.

Examples:
  python -m engine generate --users 5000 --items 2000 --interactions 200000 --out shop
  python -m engine evaluate --train train.csv.gz --test test.csv.gz --algorithm als --k 20 --json
  python -m engine search --train train.csv --algorithm als --trials 20 --journal search.jsonl
  python -m engine fit --train train.csv --algorithm als --set factors=128 --out model
  python -m engine compress --train train.csv --test test.csv --algorithm als --out small
  python -m engine recommend --model model --user u42 --k 5
  python -m engine similar --model model --item i7

A file is CSV, plain or .gz, with or without a header: user, item[, value[, time]]. Where a header
names the columns, they may stand in any order.
`python -m engine COMMAND --help` lists the options of a command, with examples.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

COMMANDS = {
    "generate": "write a made-up shop's files to try everything on",
    "evaluate": "train on one file, measure on another",
    "search": "look for an algorithm's best setting",
    "fit": "train and keep the model in a folder",
    "compress": "measure smaller variants of a model and keep one",
    "recommend": "print the best items for some users",
    "similar": "print the items most like some items",
}
INTERRUPTED, READER_GONE = 130, 141  # what a shell reports for SIGINT and SIGPIPE


def main(arguments: Sequence[str]) -> int:
    """Run one command; return the exit status: 0, or 1 with a sentence on standard error."""
    try:
        asked = build_parser(arguments).parse_args(arguments)
        status = run(asked)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more to flush at exit
        return READER_GONE
    except KeyboardInterrupt:
        return INTERRUPTED


def run(asked: argparse.Namespace) -> int:
    from engine.refusals import FileRefused

    try:
        return int(asked.run(asked))
    except BrokenPipeError:
        raise
    except (ValueError, OSError, FileRefused) as problem:
        print(f"engine: {problem}", file=sys.stderr)
        return 1


def build_parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """Describe all commands, and the options of the one asked for: only its modules are loaded."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m engine", description=__doc__, formatter_class=plain)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        if name not in arguments[:1]:
            commands.add_parser(name, help=summary)
            continue
        module = import_module(f"engine.commands.{name}")
        command = commands.add_parser(name, help=summary, description=module.__doc__, formatter_class=plain)
        module.add_options(command)
        command.set_defaults(run=module.run)
    return parser
