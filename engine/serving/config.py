"""What a model server is told: one JSON file, readable by its owner only, refused when anything is off."""

import os
import resource
import stat
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

import orjson

SECRETS_MAX_BYTES = 64 * 1024
KEY_MIN_BYTES = 16
CPU_GRACE_S = 10  # of processor time, from being told to end to being ended
LIMITS = {
    "as_bytes": resource.RLIMIT_AS,
    "data_bytes": resource.RLIMIT_DATA,
    "nofile": resource.RLIMIT_NOFILE,
    "cpu_s": resource.RLIMIT_CPU,
}


class ConfigError(ValueError):
    """A configuration that cannot be served; the text names the setting."""


@dataclass(frozen=True)
class ServingConfig:
    """One release's model server. `host:port` is where it listens; port 0 takes a free one.

    artifact: the folder, and `digest` the sha256 of its manifest. signing_key_file: a key good only for
    recommendation_id. rlimits: of as_bytes (address space), data_bytes (memory beside mapped files), nofile,
    cpu_s (then it drains and ends). drain_s: how long the server goes on answering, no longer ready, after
    SIGTERM. under_way_max: how many requests may be under way; one more is refused with 429. cache_bytes:
    room for lists made before; 0 keeps none. patience_s: how long a request's headers, and then its body, may
    take to arrive; longer than the gateway keeps idle connections. numba_cache_dir: where compiled kernels
    are, when not beside the code.
    """

    artifact: Path
    digest: str
    host: str
    port: int
    release_id: str
    release_number: int
    deployment_id: str
    model: str
    model_version: int
    algorithm: str
    signing_key_file: Path
    threads: int = 1
    shop: str = ""
    drain_s: float = 1.0
    under_way_max: int = 128
    cache_bytes: int = 64 * 1024 * 1024
    patience_s: float = 5.0
    rlimits: Mapping[str, int] = field(default_factory=dict)
    numba_cache_dir: Path | None = None

    def __post_init__(self) -> None:
        checks = {
            "port": 0 <= self.port < 65536,
            "digest": len(self.digest) == 64,
            "threads": 1 <= self.threads <= 64,
            "drain_s": 0 <= self.drain_s <= 300,
            "under_way_max": 1 <= self.under_way_max <= 100_000,
            "patience_s": 0 < self.patience_s <= 60,
            "cache_bytes": 0 <= self.cache_bytes <= 1 << 40,
            "rlimits": all(name in LIMITS and type(n) is int and n > 0 for name, n in self.rlimits.items()),
        }
        for name, is_right in checks.items():
            if not is_right:
                raise ConfigError(f"{name} cannot be {getattr(self, name)!r}")


def read_config(path: Path) -> ServingConfig:
    """Read and check a configuration file; raise ConfigError for a missing, unknown or wrong setting."""
    try:
        found = orjson.loads(read_private(path, "the configuration"))
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"the configuration is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError("the configuration is not an object")
    declared = {each.name: each for each in fields(ServingConfig)}
    unknown = sorted(set(found) - set(declared))
    needed = {name for name, each in declared.items() if each.default is each.default_factory is MISSING}
    missing = sorted(needed - set(found))
    if unknown or missing:
        raise ConfigError(
            "; ".join([f"unknown: {name}" for name in unknown] + [f"missing: {n}" for n in missing])
        )
    return ServingConfig(**{name: _typed(name, declared[name].type, value) for name, value in found.items()})


def read_signing_key(path: Path) -> bytes:
    """Read the key that signs recommendation_id: the file's bytes without white space around them."""
    key = read_private(path, "the signing key").strip()
    if len(key) < KEY_MIN_BYTES:
        raise ConfigError(f"the signing key is shorter than {KEY_MIN_BYTES} bytes")
    return key


def read_private(path: Path, what: str) -> bytes:
    """Read a small file that the world cannot; raise ConfigError otherwise."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode) or stat.S_IMODE(mode) & 0o007:
                raise ConfigError(f"{what} must be a plain file closed to others (chmod 600)")
            content = file.read(SECRETS_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{what} cannot be read: {error.strerror}") from error
    if len(content) > SECRETS_MAX_BYTES:
        raise ConfigError(f"{what} is larger than {SECRETS_MAX_BYTES:,} bytes")
    return content


def apply_limits(rlimits: Mapping[str, int]) -> None:
    """Bind this process to its limits, for good."""
    for name, value in rlimits.items():
        try:
            most = value + CPU_GRACE_S if name == "cpu_s" else value
            resource.setrlimit(LIMITS[name], (value, most))
        except (ValueError, OSError) as error:
            raise ConfigError(f"the limit {name}={value:,} cannot be set: {error}") from error


def _typed(name: str, wanted: Any, value: object) -> Any:
    if wanted in (Path, Path | None):
        if isinstance(value, str) and Path(value).is_absolute():
            return Path(value)
        raise ConfigError(f"{name} must be an absolute path")
    if wanted is float and type(value) is int:
        return float(value)
    kind = dict if wanted not in (str, int, float) else wanted
    if type(value) is not kind or (kind is str and not value and name != "shop"):
        raise ConfigError(f"{name} must be {'an object' if kind is dict else f'of type {kind.__name__}'}")
    return value
