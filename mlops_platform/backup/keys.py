"""Whether the keys of this installation open what a backup has sealed. The keys themselves are in
no backup: a thief of the file must not find them in it."""

from django.conf import settings
from django.utils.crypto import constant_time_compare, salted_hmac

from clusters import secrets

_SAMPLE = {"of": "a backup"}


def samples() -> dict[str, str]:
    return {"credentials": secrets.seal(_SAMPLE), "signature": _signature()}


def opens(kept: dict[str, str]) -> bool:
    """Whether one of CREDENTIALS_KEYS is the key that sealed."""
    try:
        return secrets.unseal(kept["credentials"]) == _SAMPLE
    except secrets.Unsealable:
        return False


def signs(kept: dict[str, str]) -> bool:
    """Whether SECRET_KEY is the same."""
    return constant_time_compare(kept["signature"], _signature())


def _signature() -> str:
    return salted_hmac("mlops_platform.backup", settings.SECRET_KEY, algorithm="sha256").hexdigest()
