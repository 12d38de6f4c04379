"""The platform's own address and its mail server, from the environment.

The names are those of Django's settings. Without EMAIL_HOST no mail is sent.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parseaddr
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from mlops_platform.environment.limits import whole_number

STARTTLS, TLS, NONE = "starttls", "tls", "none"
PORTS = {STARTTLS: 587, TLS: 465, NONE: 25}
MOST_PORTS = 65_535
_HOST = re.compile(r"[A-Za-z0-9.:-]{1,253}")
_ADDRESS = re.compile(r"[^\s@<>,;]{1,64}@[^\s@<>,;]{1,189}")


@dataclass(frozen=True)
class Mail:
    """How mail is sent; `host` is empty where none is."""

    host: str = ""
    port: int = PORTS[STARTTLS]
    user: str = ""
    password: str = ""
    security: str = STARTTLS
    sender: str = "webmaster@localhost"

    def __repr__(self) -> str:
        return f"Mail({self.host!r}, {self.port})"


def public_url(env: Mapping[str, str]) -> str:
    """What PUBLIC_URL says, without a slash at its end; empty where it is unset: then a link is
    made of the host that a request names."""
    given = (env.get("PUBLIC_URL") or "").strip().rstrip("/")
    if not given:
        return ""
    parts = urlsplit(given)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise ImproperlyConfigured(
            f"PUBLIC_URL is {given[:60]!r}; give an address such as https://ml.example.org."
        )
    return given


def mail(env: Mapping[str, str]) -> Mail:
    """What the EMAIL_ variables say. Links in mail need PUBLIC_URL."""
    host = (env.get("EMAIL_HOST") or "").strip()
    if not host:
        return Mail()
    if not _HOST.fullmatch(host):
        raise ImproperlyConfigured(f"EMAIL_HOST is {host[:60]!r}; give a host's name or address.")
    security = (env.get("EMAIL_SECURITY") or STARTTLS).strip().lower()
    if security not in PORTS:
        raise ImproperlyConfigured(
            f"EMAIL_SECURITY is {security[:20]!r}; use one of {', '.join(PORTS)}."
        )
    port = env.get("EMAIL_PORT") or str(PORTS[security])
    sender = (env.get("EMAIL_FROM") or "").strip()
    if not sender.isprintable() or not _ADDRESS.fullmatch(parseaddr(sender)[1]):
        raise ImproperlyConfigured(
            f"EMAIL_FROM is {sender[:60]!r}; with EMAIL_HOST give the sender, such as "
            "ml@example.org or Platform <ml@example.org>."
        )
    if not public_url(env):
        raise ImproperlyConfigured("EMAIL_HOST needs PUBLIC_URL, for the links in what is sent.")
    return Mail(
        host=host,
        port=whole_number("EMAIL_PORT", port, MOST_PORTS),
        user=env.get("EMAIL_HOST_USER") or "",
        password=env.get("EMAIL_HOST_PASSWORD") or "",
        security=security,
        sender=sender,
    )
