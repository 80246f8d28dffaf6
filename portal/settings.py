"""Settings, from the environment; `manage.py up` supplies what is not set there.

The local stack writes `$AISLE_HOME/stack.json` (addresses, ports and secrets it chose, mode 0600).
An environment variable of the same name always wins, so any part can be pointed elsewhere.
"""

import json
import os
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import dj_database_url
from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
HOME = Path(os.environ.get("AISLE_HOME", BASE_DIR / "var")).resolve()
_stack_file = HOME / "stack.json"
_stack = json.loads(_stack_file.read_text()) if _stack_file.exists() else {}


def setting(name: str, default: str | None = None) -> str:
    """Read one setting: the environment first, then what the local stack chose, then the default."""
    value = os.environ.get(name) or _stack.get(name) or default
    if value is None:
        raise ImproperlyConfigured(f"{name} is not set. Start the local stack with `make up`, or export it.")
    return str(value)


def packaged(package: str, folder: str) -> Path:
    """Find a folder of an installed package without importing the package."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ImproperlyConfigured(f"The package {package} is not installed. Run `make setup`.")
    return Path(spec.origin).parent / folder


SECRET_KEY = setting("SECRET_KEY")
SECRET_KEY_FALLBACKS = [key for key in setting("SECRET_KEY_FALLBACKS", "").split(",") if key]
DEBUG = setting("DEBUG", "0") == "1"
PUBLIC_URL = setting("PUBLIC_URL", "http://127.0.0.1:8000")  # where people reach the portal
GATEWAY_URL = setting("GATEWAY_URL", "http://127.0.0.1:8080")  # where shoppers' requests arrive
PORTAL_URL = setting("PORTAL_URL", PUBLIC_URL)  # where agents reach the portal
AGENT_TOKEN = setting("AGENT_TOKEN", "")  # what agents show the portal; empty: none is let in
HTTPS = PUBLIC_URL.startswith("https://")
ALLOWED_HOSTS = [host for host in setting("ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]").split(",") if host]
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
CSRF_FAILURE_VIEW = "portal.failures.csrf_failure"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_htmx",
    "axes",
    "csp",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "portal",
    "portal.core",
    "models_app",
    "deployments_app",
    "monitoring_app",
]

MIDDLEWARE = [
    "portal.core.middleware.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "portal.core.middleware.ShopMiddleware",
    "portal.core.middleware.PortalErrorMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "portal.urls"
ASGI_APPLICATION = "portal.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "portal.context_processors.shell",
            ],
            "builtins": ["portal.core.templatetags.ui"],
        },
    }
]

# Processes that ask often keep a small pool; under ASGI each request has its own thread, so persistent
# connections per thread would pile up. Tests, commands and training open one connection each.
DATABASES = {
    "default": dj_database_url.parse(setting("DATABASE_URL"), conn_max_age=0, conn_health_checks=True)
}
# Rows are read with what they belong to, in up to twenty joins by key, in an order that is good already. To
# weigh every order of eight tables takes PostgreSQL most of such a query's time (7 of 8 ms for a rollout).
_LIMITS = {
    "lock_timeout": 5000,
    "statement_timeout": 30000,
    "idle_in_transaction_session_timeout": 30000,
    "join_collapse_limit": 4,
}
DATABASES["default"]["OPTIONS"] = {
    **DATABASES["default"].get("OPTIONS", {}),
    "connect_timeout": 2,
    "options": " ".join(f"-c {name}={value}" for name, value in _LIMITS.items()),
}
if setting("DATABASE_POOL", "0") == "1":
    DATABASES["default"]["OPTIONS"]["pool"] = {"min_size": 2, "max_size": 16, "timeout": 2}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "core.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "sign_in"
LOGIN_REDIRECT_URL = "start"
LOGOUT_REDIRECT_URL = "sign_in"
PASSWORD_RESET_TIMEOUT = 24 * 3600  # also how long a one-time sign-in link lives

# Lockout lives in PostgreSQL: an evictable cache would let a flood reset it.
AXES_HANDLER = "axes.handlers.database.AxesDatabaseHandler"
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_HTTP_RESPONSE_CODE = 429
AXES_LOCKOUT_TEMPLATE = "portal/locked_out.html"
AXES_VERBOSE = False

SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_NAME = "__Host-aisle_session" if HTTPS else "aisle_session"
CSRF_COOKIE_NAME = "__Host-aisle_csrf" if HTTPS else "aisle_csrf"
SECURE_SSL_REDIRECT = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
        "report-uri": ["/csp-report"],
    }
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = HOME / "static"
STATICFILES_DIRS: list[Path | tuple[str, Path]] = [
    BASE_DIR / "static",
    ("vendor/plotly", packaged("plotly", "package_data")),
    ("vendor/manrope", packaged("font_manrope", "files")),
]
WHITENOISE_USE_FINDERS = True  # no collectstatic step: files come from the tree and from installed packages
WHITENOISE_AUTOREFRESH = DEBUG

# Files: content-addressed blobs, artifacts, and the folder that uploads and attempts are written to first.
STORAGE_DIR = HOME / "storage"
FILE_UPLOAD_TEMP_DIR = STORAGE_DIR / "tmp"  # same disk as the blobs
FILE_UPLOAD_TEMP_DIR.mkdir(parents=True, exist_ok=True)
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.TemporaryFileUploadHandler"]
UPLOAD_MAX_BYTES = int(setting("UPLOAD_MAX_BYTES", str(4 * 1024**3)))
UNPACKED_MAX_BYTES = int(setting("UNPACKED_MAX_BYTES", str(16 * 1024**3)))
API_BODY_MAX_BYTES = 1024 * 1024
EVENTS_BODY_MAX_BYTES = 6_553_600  # 6.25 MiB: 1,000 events with long ids, all their characters escaped
DATA_UPLOAD_MAX_MEMORY_SIZE = API_BODY_MAX_BYTES
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1000

REDIS_URL = setting("REDIS_URL", "redis://127.0.0.1:6379/0")
LEASE_S = float(setting("LEASE_S", "15"))
DISPATCH_INTERVAL_S = float(setting("DISPATCH_INTERVAL_S", "0.5"))

# Backends by name; a third one is a dotted path here and the contract test class (deployments_app/backends).
DEPLOYMENT_BACKENDS = {
    "local": "deployments_app.backends.local.LocalBackend",
    "kubernetes": "deployments_app.backends.kubernetes.KubernetesBackend",
}
RUN_DIR = HOME / "run"  # what the local backend knows of its model servers

# The cluster is the one that KUBECONFIG names, else the one that Aisle runs in.
KUBERNETES_CONTEXT = setting("KUBERNETES_CONTEXT", "")
KUBERNETES_NAMESPACES = setting("KUBERNETES_NAMESPACES", "aisle").split(",")  # environments may use these
KUBERNETES_IMAGE = setting("KUBERNETES_IMAGE", "aisle:dev")
KUBERNETES_PULL_POLICY = setting("KUBERNETES_PULL_POLICY", "IfNotPresent")
KUBERNETES_DRAIN_S = int(setting("KUBERNETES_DRAIN_S", "10"))  # longer than the cluster's DNS keeps a name
KUBERNETES_GATEWAYS = int(setting("KUBERNETES_GATEWAYS", "2"))  # of each environment
KUBERNETES_GATEWAY_TYPE = setting("KUBERNETES_GATEWAY_TYPE", "ClusterIP")  # or NodePort, LoadBalancer
KUBERNETES_DOMAIN = setting("KUBERNETES_DOMAIN", "cluster.local")
CLUSTER_PORTAL_URL = setting("CLUSTER_PORTAL_URL", PORTAL_URL)  # where pods reach the portal

# An S3 store from which pods fetch artifacts, at an address that they and the portal reach; empty: the portal
# sends them itself. boto3 finds its keys: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION.
ARTIFACT_S3_URL = setting("ARTIFACT_S3_URL", "")
ARTIFACT_S3_BUCKET = setting("ARTIFACT_S3_BUCKET", "aisle")

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "portal.core.authentication.BearerAuthentication",
        "portal.core.authentication.ShopSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["portal.core.authentication.IsSignedIn"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["portal.core.parsers.StrictJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "portal.core.api.CursorPages",
    "DEFAULT_SCHEMA_CLASS": "portal.core.openapi.ApiSchema",
    "EXCEPTION_HANDLER": "portal.core.problems.problem_response",
    "UNAUTHENTICATED_USER": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Aisle",
    "VERSION": "1.0.0",
    "DESCRIPTION": "From a file of ratings to recommendations in production, and back.",
    "OAS_VERSION": "3.1.0",
    "SERVE_PUBLIC": True,
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "ParameterKindEnum": ["integer", "number", "boolean", "choice"],
        "RolloutKindEnum": ["promote", "rollback"],
    },
}

CELERY_BROKER_URL = REDIS_URL

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": setting("LOG_LEVEL", "INFO")},
    "loggers": {name: {"level": "WARNING"} for name in ("axes", "httpx", "botocore.credentials")},
}
