"""What a production deployment must have been given before it may start.

Everything has a default that suits one developer's machine; none of these defaults is fit for a
server that others can reach, so `MLOPS_ENV=production` refuses them by name.
"""

from collections.abc import Mapping

from django.core.exceptions import ImproperlyConfigured

REQUIRED = {
    "SECRET_KEY": "signs sessions and tokens",
    "DATABASE_URL": "names the PostgreSQL server",
    "REDIS_URL": "names the Redis server",
    "ALLOWED_HOSTS": "lists the host names that are served",
    "METRICS_TOKEN": "is the bearer token of /metrics",
}
PLACEHOLDERS = ("change", "secret", "default", "example", "insecure", "password", "django-")
SHORTEST_SECRET = 50


def refuse_unsafe(env: Mapping[str, str]) -> None:
    """Raise ImproperlyConfigured with every fault of `env` at once; None when it is fit."""
    faults = [f"{name} is not set; it {why}." for name, why in REQUIRED.items() if not env.get(name)]
    for name in ("SECRET_KEY", "METRICS_TOKEN"):
        if any(word in env.get(name, "").lower() for word in PLACEHOLDERS):
            faults.append(f"{name} looks like a placeholder; set it to random characters.")
    secret = env.get("SECRET_KEY", "")
    if secret and (len(secret) < SHORTEST_SECRET or len(set(secret)) < 10):
        faults.append(f"SECRET_KEY is too weak; use at least {SHORTEST_SECRET} random characters.")
    if "*" in env.get("ALLOWED_HOSTS", ""):
        faults.append("ALLOWED_HOSTS must name hosts, not '*'.")
    if faults:
        raise ImproperlyConfigured("Refusing to start in production. " + " ".join(faults))
