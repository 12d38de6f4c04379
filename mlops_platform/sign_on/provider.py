"""Talks with the OpenID provider: where it sends the browser, and whom it names when that is back.

Authlib speaks the protocol: discovery, state, nonce and PKCE in the session, the exchange of the
code, and the checks of the ID token's signature, issuer, audience, nonce and times. Here are the
deadline, what Authlib leaves open (whose metadata it is, which signatures count, that there is an
ID token at all), and a sentence for each refusal.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from authlib.integrations.base_client.errors import MismatchingStateError, OAuthError
from authlib.integrations.django_client import OAuth
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from joserfc import errors as jose
from requests import RequestException
from rest_framework.exceptions import APIException

logger = logging.getLogger(__name__)

DEADLINE_S = 5.0
"""Of each call of the provider: a connection, and each wait for bytes."""
METADATA_FOR_S = 3600
LEEWAY_S = 60
SIGNATURES = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
"""By public keys: what everybody can verify, only the provider can make."""
BEGIN_AGAIN = "This login was begun elsewhere, was used already or took too long; begin again."
SENTENCES = {
    "aud": "The provider's answer is meant for another client than this platform.",
    "azp": "The provider's answer is meant for another client than this platform.",
    "iss": "The provider's answer names another issuer than OIDC_ISSUER.",
    "nonce": "The provider's answer belongs to another login; begin again.",
    "exp": "The provider's answer has expired; begin again.",
}
UNSIGNED = "The provider's answer is not signed by a key of the provider."
NO_TOKEN = "The provider has answered without an ID token; is openid among OIDC_SCOPES?"  # noqa: S105  # a sentence
WRONG_ISSUER = "The provider's metadata names another issuer than OIDC_ISSUER."


class ProviderAway(APIException):
    status_code = 503
    default_detail = "The login provider does not answer; try again soon, or use your password."
    default_code = "provider_away"
    wait = 5


class ProviderRefusal(APIException):
    """400: what the provider has answered admits no user."""

    status_code = 400
    default_code = "provider_refused"


_kept: dict[Any, tuple[float, Any]] = {}
"""The client of the provider, with its metadata and keys, and when it was made."""


def begin(request: HttpRequest, callback: str) -> HttpResponse:
    """Leads the browser to the provider, which leads it back to `callback`."""
    with _answered():
        answer: HttpResponse = _client().authorize_redirect(request, callback)
    return answer


def finish(request: HttpRequest) -> dict[str, Any]:
    """The claims about the person whom the provider names in its answer, all of them verified. 400
    with a sentence otherwise, 503 where the provider does not answer."""
    with _answered():
        client = _client()
        token = client.authorize_access_token(request, leeway=LEEWAY_S)
        claims = token.get("userinfo")
        if not claims or not claims.get("sub"):
            raise ProviderRefusal(NO_TOKEN)
        said = dict(claims)
        if settings.OIDC.groups_claim not in said and client.server_metadata.get(
            "userinfo_endpoint"
        ):
            more = client.userinfo(token=token)
            if more.get("sub") == said["sub"]:  # OpenID Connect Core, 5.3.2
                said = {**more, **said}
    return said


def groups_of(claims: dict[str, Any]) -> list[str] | None:
    """The user's groups; None where the provider says nothing of groups."""
    given = claims.get(settings.OIDC.groups_claim)
    if given is None:
        return None
    listed = given if isinstance(given, list) else [given]
    return [each for each in listed if isinstance(each, str)]


def _client() -> Any:
    """The provider's client, made anew where the metadata are old. One call where it is."""
    key, now = settings.OIDC, time.monotonic()
    made_at, client = _kept.get(key, (0.0, None))
    if client is None or now - made_at > METADATA_FOR_S:
        client = _new_client()
        _kept[key] = (now, client)
    return client


def _new_client() -> Any:
    given = settings.OIDC
    client: Any = OAuth().register(
        "provider",
        client_id=given.client_id,
        client_secret=given.client_secret or None,
        server_metadata_url=f"{given.issuer.rstrip('/')}/.well-known/openid-configuration",
        client_kwargs={
            "scope": given.scopes,
            "code_challenge_method": "S256",
            "default_timeout": DEADLINE_S,
            **({} if given.client_secret else {"token_endpoint_auth_method": "none"}),
        },
    )
    metadata = client.load_server_metadata()
    if metadata.get("issuer", "").rstrip("/") != given.issuer.rstrip("/"):
        raise ProviderRefusal(WRONG_ISSUER)
    offered = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
    metadata["id_token_signing_alg_values_supported"] = [
        each for each in offered if each in SIGNATURES
    ] or ["RS256"]
    return client


@contextmanager
def _answered() -> Iterator[None]:
    """A sentence for all that may be wrong with the provider or its answer."""
    try:
        yield
    except (RequestException, OSError) as error:
        logger.warning("the OpenID provider does not answer", extra={"error": str(error)})
        raise ProviderAway from None
    except MismatchingStateError:
        raise ProviderRefusal(BEGIN_AGAIN) from None
    except OAuthError as error:
        raise _refused(f"The provider refuses: {error.description or error.error}."[:300]) from None
    except jose.ExpiredTokenError:
        raise _refused(SENTENCES["exp"]) from None
    except jose.JoseError as error:
        claim = getattr(error, "claim_name", None) or getattr(error, "claim", None)
        sentence = SENTENCES.get(str(claim)) or (
            UNSIGNED
            if isinstance(error, jose.BadSignatureError | jose.UnsupportedAlgorithmError)
            else f"The provider's answer cannot be used: {error.error}."
        )
        raise _refused(sentence) from None
    except (ValueError, KeyError, RuntimeError) as error:  # no JSON, no address, no key
        raise _refused(f"The provider's answer cannot be read: {type(error).__name__}.") from None


def _refused(sentence: str) -> ProviderRefusal:
    logger.warning("login by the OpenID provider refused", extra={"why": sentence})
    return ProviderRefusal(sentence)
