"""Django settings, read from the environment; docs/reference/configuration.md lists each name.

Without any variable the platform runs on this machine alone: embedded PostgreSQL and Redis, a
secret key drawn once and kept beside their data. `MLOPS_ENV=production` refuses such defaults.
"""

import base64
import os
import secrets
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import dj_database_url

from mlops_platform import embedded
from mlops_platform.environment import admission, redis_address
from mlops_platform.environment.database import deadlines
from mlops_platform.environment.fetching import fetch_image
from mlops_platform.environment.host_paths import host_roots
from mlops_platform.environment.limits import MOST, MOST_AT_ONCE, rate, whole_number
from mlops_platform.environment.mail import STARTTLS, TLS, mail, public_url
from mlops_platform.environment.production import (
    is_production,
    proxies_in_front,
    refuse_unsafe,
    requires_staff_totp,
)
from mlops_platform.environment.sign_on import provider
from mlops_platform.logs import LOGGING as LOGGING  # Django reads it from here

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = embedded.data_dir()
PRODUCTION = is_production(os.environ)
if PRODUCTION:
    refuse_unsafe(os.environ)


def _kept(name: str, draw: Callable[[], str]) -> str:
    """A random key, drawn once, for its owner's eyes alone: it outlives a restart.

    Two processes that start at once keep the same one, and neither reads the other's half-written.
    """
    path = DATA_DIR / name
    if not path.exists():
        DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
        drawn = DATA_DIR / f"{name}.{os.getpid()}"
        with os.fdopen(os.open(drawn, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as file:
            file.write(draw())
        with suppress(FileExistsError):
            path.hardlink_to(drawn)
        drawn.unlink()
    return path.read_text()


def _signing_key() -> str:
    return secrets.token_urlsafe(64)


def _sealing_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _listed(name: str, default: str = "") -> list[str]:
    return _items(os.environ.get(name, default))


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _number(name: str, default: int, most: int = MOST) -> int:
    """A whole number from 1 to `most`."""
    return whole_number(name, os.environ.get(name) or str(default), most)


def _rate(name: str, default: str) -> str:
    return rate(name, os.environ.get(name) or default)


SECRET_KEY = os.environ.get("SECRET_KEY") or _kept("secret_key", _signing_key)
# The first one seals the credentials of clusters, all of them open.
CREDENTIALS_KEYS = _items(
    os.environ.get("CREDENTIALS_KEYS") or _kept("credentials_key", _sealing_key)
)
DEBUG = False  # a stack trace never reaches a caller, on a developer's machine neither
ALLOWED_HOSTS = _listed("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = _listed("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "mlops_platform.apps.PlatformConfig",  # before the admin, some of whose templates it extends
    "mlops_platform.apps.OperatorsConfig",
    "mlops_platform.console.apps.ConsoleConfig",
    "django_htmx",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",  # for processes of before an upgrade to logins
    "drf_yasg",
    "accounts",
    "organizations",
    "clusters",
    "deployments",
    "scheduler",
]

MIDDLEWARE = [
    "mlops_platform.logs.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "mlops_platform.headers.SafetyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "mlops_platform.urls"
WSGI_APPLICATION = "mlops_platform.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- PostgreSQL and Redis -------------------------------------------------------------------
DATABASE_URL = os.environ.get("DATABASE_URL") or embedded.postgres_url(DATA_DIR)
REDIS_URL = redis_address.check(os.environ.get("REDIS_URL") or embedded.redis_url(DATA_DIR))
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        **dj_database_url.parse(
            DATABASE_URL,
            # PostgreSQL of Django, with migrations that keep no table locked
            engine="django_zero_downtime_migrations.backends.postgres",
            conn_max_age=300,
            conn_health_checks=True,
        ),
        "TEST": {"NAME": "test_mlops"},
    }
}
_options = DATABASES["default"].setdefault("OPTIONS", {})
_options["options"] = f"{deadlines(sys.argv[0])} {_options.get('options', '')}".strip()
_options.setdefault("connect_timeout", 5)
# A server that has vanished without a word is noticed within a minute, in milliseconds and seconds.
_options.setdefault("tcp_user_timeout", 60_000)
for _name, _value in (("idle", 20), ("interval", 10), ("count", 3)):
    _options.setdefault(f"keepalives_{_name}", _value)
ZERO_DOWNTIME_MIGRATIONS_LOCK_TIMEOUT = "2s"  # as long as requests wait for a lock themselves
ZERO_DOWNTIME_MIGRATIONS_IDEMPOTENT_SQL = True  # a migration that gave up goes on where it was
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
REDIS_TIMEOUT_S = 2.0  # a dead Redis delays a submit by this, and by one look at it, at most
REDIS_STALLED_S = 2.0  # for so long no command of this process waits for a Redis that was away
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": [REDIS_URL],  # a text would be split at commas
        "VERSION": 2,  # entries of the first version are pickles, which nothing reads any more
        "OPTIONS": {
            "serializer": "mlops_platform.coordination.cache.JsonSerializer",
            "pool_class": "mlops_platform.environment.redis_address.Pool",
            "socket_connect_timeout": REDIS_TIMEOUT_S,
            "socket_timeout": REDIS_TIMEOUT_S,
        },
    }
}

# --- Accounts -------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
REGISTRATION = admission.registration(os.environ)
OIDC = provider(os.environ)
TENANT_ENDPOINT_RANGES = admission.endpoint_ranges(os.environ)
VOLUME_HOST_ROOTS = host_roots(os.environ)
FETCH_IMAGE = fetch_image(os.environ)  # this platform's, by the name under which nodes pull it
FETCH_MAX_MIB = _number("FETCH_MAX_MIB", 102_400)  # of one volume
FETCH_WITHIN_S = _number("FETCH_WITHIN_S", 3600, 7 * 86_400)
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=15),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=7),
    "CHECK_REVOKE_TOKEN": True,  # a changed password ends every token drawn before it
    "UPDATE_LAST_LOGIN": False,
    "LEEWAY": timedelta(seconds=30),  # by so much the clocks of two hosts may differ
    # In any letter case (RFC 9110, 11.1): login answers the `token_type` "bearer", which OAuth
    # clients write before the token as it is. The first spelling is the one that a 401 names.
    "AUTH_HEADER_TYPES": ("Bearer", *map("".join, product(*zip("bearer", "BEARER", strict=True)))),
}

# --- Mail -----------------------------------------------------------------------------------
PUBLIC_URL = public_url(os.environ)
_mail = mail(os.environ)
EMAIL_HOST = _mail.host  # empty: no mail is sent
EMAIL_PORT = _mail.port
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _mail.user, _mail.password
EMAIL_USE_TLS, EMAIL_USE_SSL = _mail.security == STARTTLS, _mail.security == TLS
PASSWORD_RESET_TIMEOUT = 3600  # seconds for which a mailed link counts
EMAIL_TIMEOUT = 10  # seconds, of each step of the conversation
DEFAULT_FROM_EMAIL = _mail.sender

# --- API ------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.api.authentication.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["mlops_platform.api.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_FILTER_BACKENDS": ["mlops_platform.api.filters.StrictFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "mlops_platform.api.answers.pagination.KeysetPagination",
    "DEFAULT_METADATA_CLASS": None,  # OPTIONS would tell of serializers that the views do not name
    "EXCEPTION_HANDLER": "mlops_platform.api.errors.answer_exception",
    "DEFAULT_THROTTLE_RATES": {
        # per user name and address; per user name, from addresses that are new to it; per address
        "login": _rate("THROTTLE_LOGIN", "10/min"),
        "login_account": _rate("THROTTLE_LOGIN_ACCOUNT", "60/hour"),
        "login_address": _rate("THROTTLE_LOGIN_ADDRESS", "100/min"),
        "register": _rate("THROTTLE_REGISTER", "60/hour"),
        "device": _rate("THROTTLE_DEVICE", "60/hour"),
        "reset": _rate("THROTTLE_RESET", "30/hour"),
        "reset_account": _rate("THROTTLE_RESET_ACCOUNT", "10/hour"),
        # per user
        "password": _rate("THROTTLE_PASSWORD", "10/min"),
        "join": _rate("THROTTLE_JOIN", "60/hour"),
        "invite": _rate("THROTTLE_INVITE", "60/hour"),
        "quote": _rate("THROTTLE_QUOTE", "30/min"),
        "explain": _rate("THROTTLE_EXPLAIN", "30/min"),
    },
    "NUM_PROXIES": proxies_in_front(os.environ),
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "COERCE_DECIMAL_TO_STRING": False,
}
MAX_BODY_BYTES = 1024 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * MAX_BODY_BYTES
FILE_UPLOAD_HANDLERS: list[str] = []  # no form takes files
METRICS_TOKEN = os.environ.get("METRICS_TOKEN", "")
SWAGGER_USE_COMPAT_RENDERERS = False
SWAGGER_SETTINGS = {
    "DEFAULT_INFO": "mlops_platform.api.schema.INFO",
    "DEFAULT_GENERATOR_CLASS": "mlops_platform.api.schema.generator.ApiGenerator",
    "DEFAULT_AUTO_SCHEMA_CLASS": "mlops_platform.api.schema.generator.ApiSchema",
    "SECURITY_DEFINITIONS": {
        "Bearer": {
            "type": "apiKey",
            "name": "Authorization",
            "in": "header",
            "description": "The word `Bearer`, a space, and an API key or the access token that "
            "login answered.",
        }
    },
    "DEFAULT_SPEC_RENDERERS": [
        "drf_yasg.renderers.SwaggerJSONRenderer",
        "drf_yasg.renderers.OpenAPIRenderer",
    ],
    "USE_SESSION_AUTH": False,
    "PERSIST_AUTH": True,
    "DOC_EXPANSION": "list",
    "DISPLAY_OPERATION_ID": False,
    "DEFAULT_MODEL_DEPTH": 0,  # models stay folded; the examples say it sooner
    "DEFAULT_MODEL_RENDERING": "example",
    "VALIDATOR_URL": None,
}

# --- Celery ---------------------------------------------------------------------------------
_BROKER_TIMEOUTS = {
    "socket_connect_timeout": REDIS_TIMEOUT_S,
    "socket_timeout": 5,
    # A worker that waits for messages asks this often, in seconds, whether the server is still
    # there: a frozen one, in whose place Sentinels have put another, says nothing.
    "health_check_interval": 3,
    "max_retries": 0,
}
CELERY_BROKER_URL, CELERY_BROKER_TRANSPORT_OPTIONS = redis_address.broker(
    REDIS_URL, _BROKER_TIMEOUTS
)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # else a worker gives up after most of an hour
CELERY_TASK_DEFAULT_QUEUE = "scheduler"
# Calls to endpoints have workers of their own: one that hangs delays no cycle.
CELERY_TASK_ROUTES = {
    "deployments.tasks.reconcile": {"queue": "runtimes"},
    "deployments.tasks.pull": {"queue": "runtimes"},
    "deployments.tasks.send_webhook": {"queue": "runtimes"},
    "clusters.tasks.delete_rows": {"queue": "runtimes"},  # it may call an endpoint, too
    "accounts.tasks.*": {"queue": "runtimes"},  # they call the mail server
    "organizations.tasks.send_invitation": {"queue": "runtimes"},  # it does, too
    "scheduler.tasks.forecast_starts": {"queue": "runtimes"},  # it takes seconds
    "scheduler.tasks.run_audit": {"queue": "runtimes"},  # it reads all tables
    "scheduler.tasks.forget_old": {"queue": "runtimes"},  # it pauses between its transactions
}
CELERY_ACCEPT_CONTENT = ["json"]
RUNTIMES_THREADS = _number("RUNTIMES_THREADS", 16, MOST_AT_ONCE)  # of each of their workers
# Endpoints that each of them watches.
RUNTIMES_WATCHERS = _number("RUNTIMES_WATCHERS", 256, MOST_AT_ONCE)
# Logs that each of them reads at the same time.
RUNTIMES_READERS = _number("RUNTIMES_READERS", 128, MOST_AT_ONCE)
# A node is cordoned after so many failed starts in a row, and tried again after pauses in seconds.
NODE_FAILED_STARTS = _number("NODE_FAILED_STARTS", 3, 100)
NODE_RETRY_FIRST_S = _number("NODE_RETRY_FIRST_S", 300, 30 * 86_400)
NODE_RETRY_LAST_S = _number("NODE_RETRY_LAST_S", 14_400, 30 * 86_400)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_PUBLISH_RETRY = False  # the sweep finds what a dead Redis did not take
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_MAX_MEMORY_PER_CHILD = 300_000  # KiB

# --- Scheduler ------------------------------------------------------------------------------
SCHEDULER_MAX_STARTS_PER_CYCLE = 1000
# Of the clusters whose cycles take long: so many run one at the same time, in all workers together.
SCHEDULER_LONG_CYCLES = _number("SCHEDULER_LONG_CYCLES", 1, MOST_AT_ONCE)
FORECASTS_EVERY_S = _number("FORECASTS_EVERY_S", 30, 86_400)  # of each cluster at most
MAX_ORGANIZATIONS_PER_USER = _number("MAX_ORGANIZATIONS_PER_USER", 50)  # as their ADMIN
MAX_API_KEYS = _number("MAX_API_KEYS", 20)  # live ones of a user, and of an organization
API_KEY_MAX_DAYS = _number("API_KEY_MAX_DAYS", 366, 3660)
MAX_INVITATIONS = _number("MAX_INVITATIONS", 100)  # open ones of an organization
MAX_WEBHOOKS = _number("MAX_WEBHOOKS", 20)  # of an organization
WEBHOOK_OFF_AFTER_H = _number("WEBHOOK_OFF_AFTER_H", 72, MOST_AT_ONCE)
MAX_SECRETS = _number("MAX_SECRETS", 100)  # of an organization, and of a person
MAX_SECRET_KIB = _number("MAX_SECRET_KIB", 64, 64)  # of one; Kubernetes takes 1 MiB of 16
MAX_CLUSTERS_PER_ORGANIZATION = _number("MAX_CLUSTERS_PER_ORGANIZATION", 200)
MAX_QUEUED_PER_CLUSTER = _number("MAX_QUEUED_PER_CLUSTER", 20_000)
MAX_QUEUED_PER_USER = _number("MAX_QUEUED_PER_USER", 10_000)  # in a cluster

# --- Retention ------------------------------------------------------------------------------
LEDGER_RETENTION_DAYS = _number("LEDGER_RETENTION_DAYS", 30, MOST_AT_ONCE)
LEDGER_MIB_PER_ORGANIZATION = _number("LEDGER_MIB_PER_ORGANIZATION", 2048)
SAMPLES_RETENTION_DAYS = _number("SAMPLES_RETENTION_DAYS", 30, MOST_AT_ONCE)
USAGE_RETENTION_DAYS = _number("USAGE_RETENTION_DAYS", 1095, MOST_AT_ONCE)
FORECASTS_RETENTION_DAYS = _number("FORECASTS_RETENTION_DAYS", 90, MOST_AT_ONCE)
OUTPUT_RETENTION_DAYS = _number("OUTPUT_RETENTION_DAYS", 30, MOST_AT_ONCE)
OUTPUT_MIB_PER_ORGANIZATION = _number("OUTPUT_MIB_PER_ORGANIZATION", 1024)
IDEMPOTENCY_KEYS_RETENTION_DAYS = _number("IDEMPOTENCY_KEYS_RETENTION_DAYS", 30, MOST_AT_ONCE)
EVENTS_RETENTION_DAYS = _number("EVENTS_RETENTION_DAYS", 180, MOST_AT_ONCE)
DEPLOYMENTS_RETENTION_DAYS = _number("DEPLOYMENTS_RETENTION_DAYS", 365, MOST_AT_ONCE)
DELIVERIES_RETENTION_DAYS = _number("DELIVERIES_RETENTION_DAYS", 7, MOST_AT_ONCE)
AUDIT_RETENTION_DAYS = _number("AUDIT_RETENTION_DAYS", 730, MOST_AT_ONCE)

# --- Web ------------------------------------------------------------------------------------
WEB_THREADS = _number("WEB_THREADS", 8, MOST_AT_ONCE)  # of each process of the web server
STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = False
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
FORMAT_MODULE_PATH = "mlops_platform.formats"
USE_TZ = True
APPEND_SLASH = True
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
REQUIRE_STAFF_TOTP = requires_staff_totp(os.environ)
OTP_TOTP_ISSUER = "MLOps platform"  # how an authenticator app names the account
SESSION_COOKIE_AGE = 12 * 3600  # an operator logs in once a working day (accounts/receivers.py)
CSRF_FAILURE_VIEW = "mlops_platform.console.errors.csrf_failure"
CSRF_COOKIE_HTTPONLY = True  # no script of ours needs it: forms carry the token themselves
if PRODUCTION:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    SECURE_REDIRECT_EXEMPT = [r"^healthz/?$", r"^readyz/?$", r"^metrics/?$"]
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
