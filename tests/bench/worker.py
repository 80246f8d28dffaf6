"""One side of a comparison, in a process of its own: `python worker.py ours|peers` answers jobs line by line.

A job is {"job": name, …arguments}; its answer {…figures, "peak_bytes": the process's peak so far}.
Arrays pass through `.npz` files. Neither side imports what is the other's.
"""

import contextlib
import importlib
import json
import sys
from pathlib import Path


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    if sys.argv[1] == "ours":
        sys.path.insert(0, str(Path(__file__).parents[2]))
    jobs = importlib.import_module(sys.argv[1]).JOBS
    for line in sys.stdin:
        asked = json.loads(line)
        with contextlib.redirect_stdout(sys.stderr):
            try:
                answer = jobs[asked.pop("job")](**asked)
            except Exception as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
        answer["peak_bytes"] = peak_bytes()
        print(json.dumps(answer), flush=True)


def peak_bytes() -> int:
    """Read the most memory that this process has held; getrusage would begin with its parent's."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


if __name__ == "__main__":
    main()
