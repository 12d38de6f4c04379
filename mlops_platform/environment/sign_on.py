"""The OpenID provider by which users may log in, from the environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Provider:
    """An OpenID provider and what is read of its claims; `issuer` is empty where there is none."""

    issuer: str = ""
    client_id: str = ""
    client_secret: str = ""
    name: str = "single sign-on"
    """For the button that leads to it."""
    scopes: str = "openid email profile"
    username_claim: str = "preferred_username"
    groups_claim: str = "groups"
    makes_users: bool = True
    """Whether a user whom the platform does not know yet gets an account."""

    def __repr__(self) -> str:
        return f"Provider({self.issuer!r})"


def provider(env: Mapping[str, str]) -> Provider:
    """What the OIDC_ variables say."""
    issuer = (env.get("OIDC_ISSUER") or "").strip()
    if not issuer:
        return Provider()
    parts = urlsplit(issuer)
    is_local = parts.scheme == "http" and parts.hostname in LOCAL
    if not (parts.scheme == "https" or is_local) or not parts.netloc or parts.query:
        raise ImproperlyConfigured(
            f"OIDC_ISSUER is {issuer[:60]!r}; give the provider's https address, below which "
            "it has /.well-known/openid-configuration."
        )
    client_id = (env.get("OIDC_CLIENT_ID") or "").strip()
    if not client_id:
        raise ImproperlyConfigured("OIDC_ISSUER needs OIDC_CLIENT_ID, as the provider has it.")
    scopes = " ".join((env.get("OIDC_SCOPES") or Provider.scopes).split())
    if "openid" not in scopes.split():
        raise ImproperlyConfigured(f"OIDC_SCOPES is {scopes[:60]!r}; openid must be among them.")
    makes_users = env.get("OIDC_MAKES_USERS") or "1"
    if makes_users not in ("0", "1"):
        raise ImproperlyConfigured(f"OIDC_MAKES_USERS is {makes_users[:20]!r}; use 0 or 1.")
    return Provider(
        issuer=issuer,
        client_id=client_id,
        client_secret=env.get("OIDC_CLIENT_SECRET") or "",
        name=(env.get("OIDC_NAME") or Provider.name).strip(),
        scopes=scopes,
        username_claim=(env.get("OIDC_USERNAME_CLAIM") or Provider.username_claim).strip(),
        groups_claim=(env.get("OIDC_GROUPS_CLAIM") or Provider.groups_claim).strip(),
        makes_users=makes_users == "1",
    )
