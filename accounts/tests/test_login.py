"""POST /api/users/login"""

from datetime import timedelta

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import AccessToken

from organizations.tests.people import PASSWORD, JsonClient

URL = "/api/users/login"
ME = "/api/users/me"

pytestmark = pytest.mark.django_db


def with_token(token):
    client = JsonClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


def test_a_password_gives_a_pair_of_tokens(anyone, ada):
    answer = anyone.post(URL, {"username": "ada", "password": PASSWORD})
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"access_token", "refresh_token", "token_type"}
    assert body["token_type"] == "bearer"
    assert with_token(body["access_token"]).get(ME).json()["username"] == "ada"


@pytest.mark.parametrize("name", ["ADA", "Ada", "\uff41da"])
def test_a_user_logs_in_with_the_name_in_any_letter_case(anyone, ada, name):
    assert anyone.post(URL, {"username": name, "password": PASSWORD}).status_code == 200


def test_names_that_differ_in_lower_case_are_two_users(anyone, django_user_model):
    """The two are equal in upper case and differ in lower case."""
    for name in ("i", "\u0131"):
        django_user_model.objects.create_user(name, password=PASSWORD)
        assert anyone.post(URL, {"username": name, "password": PASSWORD}).status_code == 200


def test_a_stale_token_does_not_matter(anyone, ada):
    anyone.credentials(HTTP_AUTHORIZATION="Bearer stale")
    assert anyone.post(URL, {"username": "ada", "password": PASSWORD}).status_code == 200


def test_every_refusal_is_the_same(anyone, ada, sam):
    sam.is_active = False
    sam.save()
    wrong = [
        anyone.post(URL, {"username": "ada", "password": "wrong"}),
        anyone.post(URL, {"username": "ada", "password": f"{PASSWORD} "}),
        anyone.post(URL, {"username": "nobody", "password": PASSWORD}),
        anyone.post(URL, {"username": "ada\n", "password": PASSWORD}),
        anyone.post(URL, {"username": "sam", "password": PASSWORD}),
    ]
    assert {answer.status_code for answer in wrong} == {401}
    assert len({answer.content for answer in wrong}) == 1
    assert wrong[0].json()["code"] == "bad_credentials"
    assert wrong[0]["WWW-Authenticate"] == 'Bearer realm="api"'


def test_unknown_names_cost_a_hash_too(anyone, ada, monkeypatch):
    """Else the time of the answer would show which names exist."""
    hashed = []
    encode = MD5PasswordHasher.encode

    def counted(self, password, salt):
        hashed.append(password)
        return encode(self, password, salt)

    monkeypatch.setattr(MD5PasswordHasher, "encode", counted)
    anyone.post(URL, {"username": "ada", "password": "wrong"})
    assert hashed == ["wrong"]
    anyone.post(URL, {"username": "nobody", "password": "wrong"})
    assert hashed == ["wrong", "wrong"]


@pytest.mark.parametrize("value", [None, 1, True, [], {}, ""])
def test_wrong_types_are_refused(anyone, ada, value):
    answer = anyone.post(URL, {"username": value, "password": value})
    assert answer.status_code == 400
    assert set(answer.json()["fields"]) == {"username", "password"}


def test_a_password_too_long_to_hash_is_refused(anyone, ada):
    answer = anyone.post(URL, {"username": "ada", "password": "x" * 129})
    assert answer.status_code == 400
    assert set(answer.json()["fields"]) == {"password"}


def test_unknown_fields_are_refused(anyone, ada):
    answer = anyone.post(URL, {"username": "ada", "password": PASSWORD, "otp": "1"})
    assert answer.json()["fields"] == {"otp": ["Unknown field."]}


def test_guesses_for_one_account_are_throttled(anyone, ada, sam, monkeypatch):
    monkeypatch.setitem(JsonClient.rates(), "login", "2/min")
    for name in ("ada", "ADA"):
        assert anyone.post(URL, {"username": name, "password": "wrong"}).status_code == 401
    answer = anyone.post(URL, {"username": "\uff41da", "password": PASSWORD})
    assert answer.status_code == 429
    assert answer.json()["code"] == "throttled"
    assert 0 < int(answer["Retry-After"]) <= 61
    assert anyone.post(URL, {"username": "sam", "password": PASSWORD}).status_code == 200


def test_an_address_that_tries_many_names_is_throttled(anyone, monkeypatch):
    monkeypatch.setitem(JsonClient.rates(), "login_address", "2/min")
    for name in ("ada", "dev"):
        assert anyone.post(URL, {"username": name, "password": "wrong"}).status_code == 401
    assert anyone.post(URL, {"username": "vera", "password": "wrong"}).status_code == 429


def bearer(user, **changes):
    token = AccessToken.for_user(user)
    for name, value in changes.items():
        token[name] = value
    return str(token)


def test_an_access_token_ends_with_its_time_its_user_and_their_password(ada, sam):
    late = AccessToken.for_user(ada)
    late.set_exp(lifetime=-api_settings.LEEWAY - timedelta(seconds=1))
    forged = bearer(ada)[:-4] + "AAAA"
    fine = bearer(ada)
    assert with_token(fine).get(ME).status_code == 200
    for token in (late, forged, "x", bearer(ada, token_type="refresh")):
        answer = with_token(token).get(ME)
        assert answer.status_code == 401
        assert answer.json()["code"] == "token_not_valid"
        assert answer["WWW-Authenticate"]

    ada.set_password("another-good-one")
    ada.save()
    assert with_token(fine).get(ME).status_code == 401

    of_sam = bearer(sam)
    sam.is_active = False
    sam.save()
    assert with_token(of_sam).get(ME).status_code == 401
    sam.delete()
    assert with_token(of_sam).get(ME).status_code == 401


def test_no_token_is_401(anyone, db):
    answer = anyone.get(ME)
    assert answer.status_code == 401
    assert answer.json()["code"] == "not_authenticated"
