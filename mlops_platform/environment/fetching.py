"""The image that fetches buckets, from the environment."""

import re
from collections.abc import Mapping

from django.core.exceptions import ImproperlyConfigured

_REFERENCE = re.compile(r"[a-z0-9][A-Za-z0-9._/:@-]{0,254}", re.ASCII)


def fetch_image(env: Mapping[str, str]) -> str:
    """What FETCH_IMAGE says; empty where no bucket may be offered."""
    given = env.get("FETCH_IMAGE", "").strip()
    if given and (not _REFERENCE.fullmatch(given) or "//" in given):
        raise ImproperlyConfigured(
            f"FETCH_IMAGE is {given[:60]!r}; give the reference of an image, such as "
            "registry.example.org/mlops-platform:1.0."
        )
    return given
