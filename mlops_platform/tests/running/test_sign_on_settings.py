"""What the environment says of the OpenID provider."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from mlops_platform.environment.sign_on import Provider, provider

GIVEN = {"OIDC_ISSUER": "https://id.example.org/realm", "OIDC_CLIENT_ID": "mlops"}


def test_without_an_issuer_there_is_no_provider():
    assert provider({"OIDC_CLIENT_ID": "mlops"}).issuer == ""


def test_the_claims_have_their_usual_names():
    given = provider({**GIVEN, "OIDC_SCOPES": "openid  groups"})
    assert (given.username_claim, given.groups_claim) == ("preferred_username", "groups")
    assert (given.scopes, given.makes_users) == ("openid groups", True)
    assert provider({**GIVEN, "OIDC_ISSUER": "http://localhost:9000"}).issuer


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OIDC_ISSUER", "id.example.org"),
        ("OIDC_ISSUER", "http://id.example.org"),
        ("OIDC_ISSUER", "https://id.example.org/?a=b"),
        ("OIDC_CLIENT_ID", ""),
        ("OIDC_SCOPES", "email profile"),
        ("OIDC_MAKES_USERS", "yes"),
    ],
)
def test_a_faulty_variable_is_named(name, value):
    with pytest.raises(ImproperlyConfigured, match=name):
        provider({**GIVEN, name: value})


def test_the_secret_is_not_shown():
    assert "hunter2" not in repr(Provider(issuer="https://a.b", client_secret="hunter2"))  # made up
