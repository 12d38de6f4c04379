"""What a production deployment must have been given before it may start.

Everything has a default that suits one developer's machine; none of these defaults is fit for a
server that others can reach, so `MLOPS_ENV=production` refuses them by name.
"""

import base64
from collections.abc import Mapping
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

REQUIRED = {
    "SECRET_KEY": "signs sessions and tokens",
    "DATABASE_URL": "names the PostgreSQL server",
    "REDIS_URL": "names the Redis server",
    "ALLOWED_HOSTS": "lists the host names that are served",
    "METRICS_TOKEN": "is the bearer token of /metrics",
    "CREDENTIALS_KEYS": "seals the credentials of clusters",
    "TRUSTED_PROXIES": (
        "is how many proxies stand in front, or none; without it all clients would share one "
        "allowance of logins and registrations"
    ),
}
ENVIRONMENTS = ("development", "production")
PLACEHOLDERS = ("change", "secret", "default", "example", "insecure", "password", "django-")
SHORTEST = {"SECRET_KEY": 50, "METRICS_TOKEN": 20}
FEWEST_CHARACTERS = 10  # different ones: "aaaa…" is long, and no secret
KEYS = ("CREDENTIALS_KEYS",)
KEY_BYTES = 32
MOST_PROXIES = 9
NO_PROXY = "none"


def is_production(env: Mapping[str, str]) -> bool:
    """What MLOPS_ENV says; a misspelt one must not quietly mean a developer's machine."""
    given = env.get("MLOPS_ENV") or "development"
    if given not in ENVIRONMENTS:
        raise ImproperlyConfigured(f"MLOPS_ENV is {given!r}; use one of {', '.join(ENVIRONMENTS)}.")
    return given == "production"


def proxies_in_front(env: Mapping[str, str]) -> int:
    """What TRUSTED_PROXIES says: how many addresses of X-Forwarded-For proxies of ours have
    written."""
    given = (env.get("TRUSTED_PROXIES") or NO_PROXY).strip().lower()
    if given == NO_PROXY:
        return 0
    if given.isascii() and given.isdigit() and len(given) == 1:
        return int(given)
    raise ImproperlyConfigured(
        f"TRUSTED_PROXIES is {given[:20]!r}; use {NO_PROXY} or a number up to {MOST_PROXIES}."
    )


def requires_staff_totp(env: Mapping[str, str]) -> bool:
    """Whether operators need a second factor: in production, unless REQUIRE_STAFF_TOTP says no."""
    given = env.get("REQUIRE_STAFF_TOTP") or str(int(is_production(env)))
    if given not in ("0", "1"):
        raise ImproperlyConfigured(f"REQUIRE_STAFF_TOTP is {given[:20]!r}; use 0 or 1.")
    return given == "1"


def refuse_unsafe(env: Mapping[str, str]) -> None:
    """Raise ImproperlyConfigured with every fault of `env` at once; None when it is fit."""
    faults = [
        f"{name} is not set; it {why}." for name, why in REQUIRED.items() if not env.get(name)
    ]
    for name, length in SHORTEST.items():
        faults += _faults_of_secret(name, env.get(name, ""), length)
    for name in KEYS:
        faults += _faults_of_keys(name, env.get(name, ""))
    if "*" in env.get("ALLOWED_HOSTS", ""):
        faults.append("ALLOWED_HOSTS must name hosts, not '*'.")
    if _has_no_secret_password(env.get("DATABASE_URL", "")):
        faults.append("DATABASE_URL has the user's name, or a placeholder, for a password.")
    if faults:
        raise ImproperlyConfigured("Refusing to start in production. " + " ".join(faults))


def _faults_of_secret(name: str, value: str, length: int) -> list[str]:
    if any(word in value.lower() for word in PLACEHOLDERS):
        return [f"{name} looks like a placeholder; set it to random characters."]
    if value and (len(value) < length or len(set(value)) < FEWEST_CHARACTERS):
        return [f"{name} is too weak; use at least {length} random characters."]
    return []


def _faults_of_keys(name: str, value: str) -> list[str]:
    """Each by its place, for the key itself must not be repeated."""
    keys = [key.strip() for key in value.split(",") if key.strip()]
    faults = [
        f"{name}: key {place} is not {KEY_BYTES} random bytes in URL-safe base64."
        for place, key in enumerate(keys, 1)
        if not _is_key(key)
    ]
    if value and not keys:
        faults.append(f"{name} has no key.")
    return faults


def _is_key(text: str) -> bool:
    try:
        key = base64.b64decode(text, altchars=b"-_", validate=True)
    except ValueError:
        return False
    return len(key) == KEY_BYTES and len(set(key)) >= FEWEST_CHARACTERS


def _has_no_secret_password(url: str) -> bool:
    """None at all is fine: the server may know us by certificate or by socket."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False  # no URL at all, which Django says better
    password = (parts.password or "").lower()
    return bool(password) and (password == parts.username or password in PLACEHOLDERS)
