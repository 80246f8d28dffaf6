"""The command `manage.py up`: it runs without Django, for without it there are no settings yet."""

import argparse
import contextlib
import subprocess
import sys

from portal.stack.errors import StackFailed
from portal.stack.home import StackHome
from portal.stack.lifecycle import bring_down, bring_up, say_to_terminal, summary

HELP = "Start the whole stack and wait until it is ready."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--stop", action="store_true", help="stop it all, model servers too")
    what.add_argument("--logs", action="store_true", help="follow the logs of all programs")


def run(*, stop: bool = False, logs: bool = False) -> int:
    """Do it; returns the exit status."""
    home = StackHome.default()
    if logs:
        return follow_logs(home)
    if stop:
        print("Stopped." if bring_down(home) else "Nothing was running.")
        return 0
    try:
        done = bring_up(home, say_to_terminal)
    except StackFailed as failure:
        print(f"\nAisle did not start. {failure}", file=sys.stderr)
        return 1
    if done.was_running:
        print("Aisle is running already:")
    else:
        print(f"Aisle is ready ({done.took_s:.1f} s):")
    print(summary(home))
    return 0


def follow_logs(home: StackHome) -> int:
    """Show the end of every log, then what is added, until interrupted."""
    files = sorted(str(file) for file in home.logs.glob("*.log"))
    if not files:
        print("There are no logs yet: the stack has not run.")
        return 0
    with contextlib.suppress(KeyboardInterrupt):
        subprocess.run(["tail", "-n", "5", "-F", *files], check=False)
    return 0


def main(arguments: list[str]) -> int:
    """Parse `manage.py up`'s arguments and run it."""
    parser = argparse.ArgumentParser(prog="manage.py up", description=HELP)
    add_arguments(parser)
    return run(**vars(parser.parse_args(arguments)))
