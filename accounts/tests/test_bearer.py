"""The header Authorization, however its scheme is written."""

import pytest
from rest_framework_simplejwt.tokens import AccessToken

URL = "/api/users/me"


@pytest.fixture
def token(ada):
    return str(AccessToken.for_user(ada))


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
@pytest.mark.parametrize("space", [" ", "  ", "\t", " \t "])
def test_a_token_is_read_whatever_the_letter_case_and_the_space(anyone, token, scheme, space):
    for header in (f"{scheme}{space}{token}", f" {scheme}{space}{token} "):
        answer = anyone.get(URL, HTTP_AUTHORIZATION=header)
        assert answer.status_code == 200, answer.content
        assert answer.json()["username"] == "ada"


@pytest.mark.parametrize(
    "scheme",
    ["", "Basic", "Digest", "Token", "JWT", "Bear", "Bearers", "Bearer:", "Bearer,", "xBearer"],
)
def test_another_scheme_is_no_login(anyone, token, scheme):
    answer = anyone.get(URL, HTTP_AUTHORIZATION=f"{scheme} {token}")
    assert answer.status_code == 401
    assert answer.json()["code"] == "not_authenticated"
    assert answer["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
@pytest.mark.parametrize(
    "rest", ["", " ", "\t", "   ", " x", " a.b.c", " null", " a b", " {0} {0}"]
)
def test_an_empty_or_malformed_token_is_401_in_any_letter_case(anyone, token, scheme, rest):
    answer = anyone.get(URL, HTTP_AUTHORIZATION=scheme + rest.format(token))
    assert answer.status_code == 401
    assert answer.json()["code"] in {"bad_authorization_header", "token_not_valid"}
    assert answer["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("header", ["", " ", "\t"])
def test_an_empty_header_is_no_login(anyone, token, header):
    answer = anyone.get(URL, HTTP_AUTHORIZATION=header)
    assert answer.status_code == 401
    assert answer.json()["code"] == "not_authenticated"


def test_a_token_joined_to_its_scheme_is_no_login(anyone, token):
    assert anyone.get(URL, HTTP_AUTHORIZATION=f"Bearer{token}").status_code == 401
    assert anyone.get(URL, HTTP_AUTHORIZATION=token).status_code == 401
