"""Which users may register and where they may attach machines, from the environment."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass

from django.core.exceptions import ImproperlyConfigured

OPEN, INVITE, DOMAINS, CLOSED = "open", "invite", "domains", "closed"
MODES = (OPEN, INVITE, DOMAINS, CLOSED)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")


@dataclass(frozen=True)
class Registration:
    """By `mode`, who may register: every visitor, users with an invite code, users with an e-mail
    address in one of `domains`, or no user: then operators alone make users."""

    mode: str
    domains: frozenset[str] = frozenset()


def registration(env: Mapping[str, str]) -> Registration:
    """What REGISTRATION and REGISTRATION_DOMAINS say."""
    mode = (env.get("REGISTRATION") or OPEN).strip().lower()
    domains = _items(env.get("REGISTRATION_DOMAINS", "").lower())
    if mode not in MODES:
        raise ImproperlyConfigured(f"REGISTRATION is {mode[:40]!r}; use one of {', '.join(MODES)}.")
    for domain in domains:
        if not _DOMAIN.fullmatch(domain):
            raise ImproperlyConfigured(
                f"REGISTRATION_DOMAINS has {domain[:40]!r}; give domains such as example.org."
            )
    if bool(domains) != (mode == DOMAINS):
        raise ImproperlyConfigured(
            "REGISTRATION=domains needs REGISTRATION_DOMAINS, and no other value takes them."
        )
    return Registration(mode, frozenset(domains))


def endpoint_ranges(env: Mapping[str, str]) -> tuple[Network, ...]:
    """What TENANT_ENDPOINT_RANGES says; none where every range is allowed."""
    ranges = []
    for text in _items(env.get("TENANT_ENDPOINT_RANGES", "")):
        try:
            ranges.append(ipaddress.ip_network(text))
        except ValueError:
            raise ImproperlyConfigured(
                f"TENANT_ENDPOINT_RANGES has {text[:60]!r}; give ranges such as 10.20.0.0/16."
            ) from None
    return tuple(ranges)


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]
