"""An OpenID provider that answers over HTTP, and a browser that goes there and back."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from django.conf import settings as django_settings
from django.test import Client
from oidc_provider_mock import User as Person
from oidc_provider_mock import run_server_in_thread

from mlops_platform.environment.sign_on import Provider
from mlops_platform.sign_on import provider

GRACE = {
    "preferred_username": "grace",
    "email": "grace@example.org",
    "email_verified": True,
    "groups": ["ml-team"],
}


@dataclass
class Visitor:
    """A person with a browser."""

    issuer: str
    browser: Client = field(default_factory=Client)

    def set_claims(self, subject: str, **claims: Any) -> None:
        """What the provider says of a person from now on."""
        answer = requests.put(f"{self.issuer}/users/{subject}", json=claims, timeout=10)
        assert answer.ok, answer.text

    def leave(self, wanted: str = "") -> str:
        """The provider's address to which the platform leads."""
        left = self.browser.get("/sign-on/oidc", {"next": wanted} if wanted else {})
        assert left.status_code == 302, left.content
        return str(left["Location"])

    def authenticate(self, address: str, subject: str = "1815", **form: str) -> str:
        """The platform's path to which the provider leads back."""
        back = requests.post(
            address, data={"sub": subject, **form}, allow_redirects=False, timeout=10
        )
        parts = urlsplit(back.headers["Location"])
        return f"{parts.path}?{parts.query}"

    def log_in(self, subject: str = "1815", wanted: str = "") -> Any:
        """The platform's answer to a login there."""
        return self.browser.get(self.authenticate(self.leave(wanted), subject))

    @property
    def user_id(self) -> str:
        """Of the browser's session; empty where it has none."""
        return str(self.browser.session.get("_auth_user_id", ""))


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with run_server_in_thread(user_claims=[Person(sub="1815", claims=GRACE)]) as server:
        yield f"http://localhost:{server.server_port}"


@pytest.fixture
def visitor(issuer: str, db: None, settings: Any) -> Visitor:
    provider._kept.clear()
    secret = "of the test"  # made up
    settings.OIDC = Provider(issuer=issuer, client_id="mlops", client_secret=secret)
    found = Visitor(issuer)
    found.set_claims("1815", **GRACE)
    assert django_settings.OIDC.issuer == issuer
    return found
