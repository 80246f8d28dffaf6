"""Is this installation set up right? One function a question; `manage.py check_setup` asks them all."""

import os
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils.module_loading import import_string

from models_app.artifact_store import artifact_store
from portal.core.errors import BackendError

POSTGRES_MIN_VERSION = 15_00_00
REDIS_MIN_VERSION = (6, 0)
DISK_FREE_MIN_BYTES = 2 * 1024**3
SECRET_KEY_MIN_LENGTH = 50


@dataclass(frozen=True)
class Finding:
    """The answer to one question; a problem says what to do about it."""

    question: str
    is_ok: bool
    answer: str
    remedy: str = ""


def check_database() -> Finding:
    """Ask PostgreSQL for its version and for tables that are missing."""
    question = "PostgreSQL"
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW server_version_num")
            version = int(cursor.fetchone()[0])
        pending = MigrationExecutor(connection)
        missing = pending.migration_plan(pending.loader.graph.leaf_nodes())
    except DatabaseError as error:
        return Finding(question, False, str(error).strip(), "Start it, or correct DATABASE_URL.")
    if version < POSTGRES_MIN_VERSION:
        return Finding(question, False, f"version {version // 10_000}", "Use PostgreSQL 15 or newer.")
    if missing:
        return Finding(question, False, f"{len(missing)} migrations are missing", "Run: manage.py migrate")
    return Finding(question, True, f"version {version // 10_000}, all tables up to date")


def check_broker() -> Finding:
    """Ask Redis whether it may throw our messages away."""
    question = "Redis"
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2) as client:
            version = client.info("server")["redis_version"]
            policy = client.info("memory")["maxmemory_policy"]
    except redis.RedisError as error:
        return Finding(question, False, str(error), "Start it, or correct REDIS_URL.")
    if tuple(int(part) for part in version.split(".")[:2]) < REDIS_MIN_VERSION:
        return Finding(question, False, f"version {version}", "Use Redis 6 or newer.")
    if policy != "noeviction":
        remedy = "Set maxmemory-policy noeviction, and do not share it with a cache."
        return Finding(question, False, f"{policy}: a full Redis drops whole queues silently", remedy)
    return Finding(question, True, f"version {version}, keeps every message")


def check_storage() -> Finding:
    """Write, sync and rename a file where uploads go, as an upload does."""
    question = "Storage"
    try:
        settings.FILE_UPLOAD_TEMP_DIR.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=settings.FILE_UPLOAD_TEMP_DIR, delete=False) as file:
            file.write(b"check")
            file.flush()
            os.fsync(file.fileno())
        target = settings.STORAGE_DIR / os.path.basename(file.name)
        os.rename(file.name, target)
        target.unlink()
    except OSError as error:
        return Finding(question, False, str(error), f"Make {settings.STORAGE_DIR} writable, on one disk.")
    free = shutil.disk_usage(settings.STORAGE_DIR).free
    if free < DISK_FREE_MIN_BYTES:
        return Finding(question, False, f"{free / 1024**3:.1f} GiB free", "Make room: at least 2 GiB.")
    return Finding(question, True, f"{settings.STORAGE_DIR}, {free / 1024**3:.0f} GiB free")


def check_secret() -> Finding:
    """Refuse a key that can be guessed."""
    if len(settings.SECRET_KEY) < SECRET_KEY_MIN_LENGTH or len(set(settings.SECRET_KEY)) < 10:
        return Finding("Secret key", False, "too short", "Set SECRET_KEY to 50 random characters.")
    return Finding("Secret key", True, "long enough")


def check_public_address() -> Finding:
    """Cookies travel in clear over http; that is fine on loopback only."""
    host = urlsplit(settings.PUBLIC_URL).hostname or ""
    if not settings.HTTPS and host not in {"127.0.0.1", "localhost", "::1"}:
        remedy = "Put a TLS proxy in front and set PUBLIC_URL to its https address."
        return Finding("Public address", False, f"{settings.PUBLIC_URL} is not encrypted", remedy)
    if "*" not in settings.ALLOWED_HOSTS and host not in settings.ALLOWED_HOSTS:
        return Finding("Public address", False, f"{host} is not allowed", f"Add {host} to ALLOWED_HOSTS.")
    return Finding("Public address", True, settings.PUBLIC_URL)


def check_gateway() -> Finding:
    """See whether anything answers where shoppers' requests arrive."""
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return Finding("Gateway", True, "each environment in the cluster has its own")
    try:
        with urllib.request.urlopen(settings.GATEWAY_URL, timeout=3):  # noqa: S310 - our own setting
            pass
    except urllib.error.HTTPError:
        pass  # it answers: nothing is served at its root
    except OSError as error:
        remedy = "Start Envoy and its agent (manage.py agent), or correct GATEWAY_URL."
        return Finding("Gateway", False, f"{settings.GATEWAY_URL}: {error}", remedy)
    return Finding("Gateway", True, settings.GATEWAY_URL)


def check_backends() -> Finding:
    """Import every deployment backend."""
    names = settings.DEPLOYMENT_BACKENDS
    for name, path in names.items():
        try:
            import_string(path)
        except ImportError as error:
            remedy = "Correct DEPLOYMENT_BACKENDS, or install what it needs."
            return Finding("Backends", False, f"{name}: {error}", remedy)
    return Finding("Backends", True, ", ".join(names))


def check_cluster() -> Finding:
    """Ask the cluster, if there is one, whether Aisle may do what it has to in each namespace."""
    question = "Kubernetes"
    if not {"KUBECONFIG", "KUBERNETES_SERVICE_HOST"} & os.environ.keys():
        return Finding(question, True, "none: servers run on this machine")
    make = import_string(settings.DEPLOYMENT_BACKENDS["kubernetes"])
    for namespace in settings.KUBERNETES_NAMESPACES:
        try:
            missing = [right for right in make(namespace).list_rights() if not right.is_allowed]
        except BackendError as error:
            return Finding(question, False, error.detail, "Correct KUBECONFIG, or start the cluster.")
        if missing:
            what = ", ".join(f"{right.verb} {right.resource}" for right in missing)
            remedy = "Apply the Role that the page of an environment there prints, or upgrade the chart."
            return Finding(question, False, f"in {namespace} Aisle may not {what}", remedy)
    return Finding(question, True, f"may do all it has to in {', '.join(settings.KUBERNETES_NAMESPACES)}")


def check_artifact_store() -> Finding:
    """Write an object where artifacts go and read it by a signed address, as servers in a cluster do."""
    question, store = "S3 store", artifact_store()
    if store is None:
        return Finding(question, True, "none: the portal sends artifacts to clusters itself")
    place = f"{settings.ARTIFACT_S3_BUCKET} at {settings.ARTIFACT_S3_URL}"
    try:
        store.put("check", iter([b"check"]))
        with urllib.request.urlopen(store.address("check", valid_s=60), timeout=3) as answer:  # noqa: S310
            answer.read()
    except (BackendError, OSError) as error:
        remedy = "Make the bucket, or correct ARTIFACT_S3_URL, ARTIFACT_S3_BUCKET and the AWS_… keys."
        return Finding(question, False, f"{place}: {error}", remedy)
    return Finding(question, True, place)


CHECKS: tuple[Callable[[], Finding], ...] = (
    check_database,
    check_broker,
    check_storage,
    check_secret,
    check_public_address,
    check_gateway,
    check_backends,
    check_cluster,
    check_artifact_store,
)
