"""Whether the keys of this installation open what a backup has sealed. The keys themselves are in
no backup: a thief of the file must not find them in it."""

from typing import Any

from django.conf import settings
from django.utils.crypto import constant_time_compare, salted_hmac

from mlops_platform import sealing

_SAMPLE = {"of": "a backup"}


def samples() -> dict[str, Any]:
    """A sample under each of CREDENTIALS_KEYS: until a rotation has ended, rows are sealed with
    several of them."""
    sealed = [sealing.seal(_SAMPLE, key) for key in settings.CREDENTIALS_KEYS]
    return {"credentials": sealed, "signature": _signature()}


def unopened(kept: dict[str, Any]) -> tuple[int, int]:
    """Of how many of its keys none is among CREDENTIALS_KEYS, and how many it has."""
    return sum(not _opens(each) for each in kept["credentials"]), len(kept["credentials"])


def signs(kept: dict[str, Any]) -> bool:
    """Whether SECRET_KEY is the same."""
    return constant_time_compare(kept["signature"], _signature())


def _opens(sample: str) -> bool:
    try:
        return sealing.unseal(sample) == _SAMPLE
    except sealing.Unsealable:
        return False


def _signature() -> str:
    return salted_hmac("mlops_platform.backup", settings.SECRET_KEY, algorithm="sha256").hexdigest()
