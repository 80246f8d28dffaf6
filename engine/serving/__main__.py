"""Run one release's model server: `python -m engine.serving --config FILE`. No environment is needed.

It ends with 0 after SIGTERM, 2 for a bad configuration, 3 for an artifact that must not be served
4 when it cannot listen, and 5 when it has used the processor time that it was given.
"""

import argparse
import gc
import logging
import os
import sys
from pathlib import Path

from engine.serving.config import ConfigError, apply_limits, read_config, read_signing_key

BAD_CONFIG = 2


def main() -> int:
    """Read the configuration, then serve."""
    parser = argparse.ArgumentParser(prog="python -m engine.serving", description="Serve one release.")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="JSON, closed to others")
    asked = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    log = logging.getLogger("aisle.serving")
    try:
        config = read_config(asked.config)
        key = read_signing_key(config.signing_key_file)
        apply_limits(config.rlimits)
    except ConfigError as error:
        log.error("not serving: %s", error)
        return BAD_CONFIG
    gc.disable()  # what is loaded now stays; looking through it again and again takes a sixth of the start
    if config.numba_cache_dir is not None:
        os.environ["NUMBA_CACHE_DIR"] = str(config.numba_cache_dir)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", str(config.threads))

    from engine.serving.server import run  # after the settings that numba and BLAS read once, on import

    return run(config, key)


if __name__ == "__main__":
    sys.exit(main())
