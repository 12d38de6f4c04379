"""Tokens, and how they are renewed.

A login gives an access token of 15 minutes and a refresh token that counts once. A token from a
profile is renewed under a lock on the profiles' file, so that two shells share one login: the
second finds the pair that the first has stored.
"""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any, Final

from mlops import errors
from mlops.transport import Transport

if TYPE_CHECKING:
    from mlops.profiles import Profile, ProfileFile

RENEW_BEFORE_END_S: Final = 30.0


class FixedToken:
    """An API key, an access token as it is, or none at all."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def token(self, transport: Transport) -> str | None:
        return self._token

    def renewed(self, transport: Transport, refused: str) -> str | None:
        return None


class LoginTokens:
    """The pair of a login, in memory alone."""

    def __init__(self, access: str, refresh: str) -> None:
        self._access = access
        self._refresh = refresh

    def token(self, transport: Transport) -> str | None:
        return self.renewed(transport, self._access) if ends_soon(self._access) else self._access

    def renewed(self, transport: Transport, refused: str) -> str | None:
        pair = refresh(transport, self._refresh)
        self._access, self._refresh = pair["access_token"], pair["refresh_token"]
        return self._access


class ProfileTokens:
    """The pair, or the API key, of a profile in the profiles' file."""

    def __init__(self, file: ProfileFile, profile: Profile) -> None:
        self._file = file
        self._profile = profile

    def token(self, transport: Transport) -> str | None:
        profile = self._profile
        if profile.api_key:
            return profile.api_key
        if not profile.access_token:
            return None
        if ends_soon(profile.access_token):
            return self.renewed(transport, profile.access_token)
        return profile.access_token

    def renewed(self, transport: Transport, refused: str) -> str | None:
        if self._profile.api_key:
            return None
        with self._file.locked() as profiles:
            stored = profiles.get(self._profile.name)
            if stored is None or not stored.refresh_token:
                return None
            if stored.access_token == refused or ends_soon(stored.access_token):
                pair = refresh(transport, stored.refresh_token)
                stored.access_token = pair["access_token"]
                stored.refresh_token = pair["refresh_token"]
                self._file.write(profiles)
        self._profile = stored
        return stored.access_token


def refresh(transport: Transport, refresh_token: str) -> dict[str, Any]:
    """A new pair for a refresh token. Raises NotLoggedInError where the login has ended."""
    plain = Transport(transport.url, FixedToken(None))
    body = {"refresh_token": refresh_token}
    try:
        # Repeated within ten seconds the platform answers the same pair.
        answer = plain.call("POST", "/api/users/refresh", body=body, repeatable=True)
    except errors.NotAuthenticatedError as error:
        raise errors.NotLoggedInError("The login has ended: type `mlops login`.") from error
    finally:
        plain.close()
    pair: dict[str, Any] = json.loads(answer.data)
    return pair


def ends_soon(token: str) -> bool:
    """Whether an access token ends in RENEW_BEFORE_END_S by this machine's clock. What is no JWT
    does not end: the platform's answer decides."""
    try:
        claims = token.split(".")[1]
        padded = claims + "=" * (-len(claims) % 4)
        end = float(json.loads(base64.urlsafe_b64decode(padded))["exp"])
    except (IndexError, KeyError, TypeError, ValueError):
        return False
    return time.time() > end - RENEW_BEFORE_END_S
