"""Credentials at rest: sealed with the keys of the environment, opened only to be used.

Fernet: AES-128 in CBC mode with an HMAC-SHA256. The first of CREDENTIALS_KEYS seals, all of them
open, so that a key can be replaced while everything runs (`manage.py rotate_credentials`).
"""

import json
from collections.abc import Mapping

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class Unsealable(Exception):  # noqa: N818 - a state of what is kept, not a mistake
    """No key that is there opens it: it was sealed with one that is gone, or is damaged."""

    def __init__(self) -> None:
        super().__init__(
            "Credentials cannot be opened: none of CREDENTIALS_KEYS sealed them. Add the key that "
            "did, or attach again."
        )


def seal(secrets: Mapping[str, str]) -> str:
    """Text for a column; nothing where there are no secrets."""
    kept = {name: secret for name, secret in secrets.items() if secret}
    if not kept:
        return ""
    return _all_keys().encrypt(json.dumps(kept).encode()).decode()


def unseal(sealed: str) -> dict[str, str]:
    """What was sealed; raises Unsealable, which tells no part of it."""
    if not sealed:
        return {}
    try:
        secrets: dict[str, str] = json.loads(_all_keys().decrypt(sealed))
    except (InvalidToken, ValueError):
        raise Unsealable from None
    return secrets


def resealed(sealed: str) -> str:
    """The same under the first key, or as it is where it is under that key already."""
    if not sealed or _opens(Fernet(settings.CREDENTIALS_KEYS[0]), sealed):
        return sealed
    return seal(unseal(sealed))


def _opens(key: Fernet, sealed: str) -> bool:
    try:
        key.decrypt(sealed)
    except InvalidToken:
        return False
    return True


def _all_keys() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.CREDENTIALS_KEYS])
