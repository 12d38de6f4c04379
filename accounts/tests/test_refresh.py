"""POST /api/users/refresh"""

from datetime import timedelta

import pytest
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from accounts.services import log_in
from organizations.tests.people import PASSWORD, JsonClient, all_at_once

URL = "/api/users/refresh"

pytestmark = pytest.mark.django_db


def refused(answer):
    """The answer is a 401 of the contract's shape."""
    assert answer.status_code == 401, answer.content
    assert answer.json()["code"] == "token_not_valid"
    assert answer["WWW-Authenticate"]


@pytest.fixture
def token(ada):
    return log_in("ada", PASSWORD).refresh_token


def test_a_refresh_token_gives_a_new_pair(anyone, token):
    answer = anyone.post(URL, {"refresh_token": token})
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"access_token", "refresh_token", "token_type"}
    assert body["refresh_token"] != token
    anyone.credentials(HTTP_AUTHORIZATION=f"Bearer {body['access_token']}")
    assert anyone.get("/api/users/me").json()["username"] == "ada"
    assert anyone.post(URL, {"refresh_token": body["refresh_token"]}).status_code == 200


def test_a_stale_bearer_token_does_not_matter(anyone, token):
    anyone.credentials(HTTP_AUTHORIZATION="Bearer stale")
    assert anyone.post(URL, {"refresh_token": token}).status_code == 200


def test_a_refresh_token_can_be_used_once(anyone, token):
    anyone.post(URL, {"refresh_token": token})
    drawn = OutstandingToken.objects.count()
    refused(anyone.post(URL, {"refresh_token": token}))
    assert OutstandingToken.objects.count() == drawn


def test_a_text_that_is_no_refresh_token_is_refused(anyone, ada, token):
    late = RefreshToken.for_user(ada)
    late.set_exp(lifetime=timedelta(seconds=-1))
    unknown = RefreshToken.for_user(ada)
    OutstandingToken.objects.filter(jti=unknown["jti"]).delete()
    drawn = OutstandingToken.objects.count()
    others = ["x", "a.b.c", "\u00e9.\u00e9.\u00e9", token[:-4] + "AAAA"]
    for text in (*others, str(AccessToken.for_user(ada)), str(late), str(unknown)):
        refused(anyone.post(URL, {"refresh_token": text}))
    assert OutstandingToken.objects.count() == drawn
    assert anyone.post(URL, {"refresh_token": token}).status_code == 200


def test_a_changed_password_ends_the_tokens_drawn_before(anyone, ada, token):
    ada.set_password("another-good-one")
    ada.save()
    refused(anyone.post(URL, {"refresh_token": token}))


def test_a_deactivated_user_gets_no_tokens(anyone, ada, token):
    ada.is_active = False
    ada.save()
    refused(anyone.post(URL, {"refresh_token": token}))


def test_a_deleted_user_gets_no_tokens(anyone, ada, token):
    ada.delete()
    refused(anyone.post(URL, {"refresh_token": token}))


@pytest.mark.parametrize("value", [None, 1, True, [], {}, "", "x" * 4097])
def test_a_value_that_cannot_be_a_token_is_named(anyone, value):
    answer = anyone.post(URL, {"refresh_token": value})
    assert answer.status_code == 400
    assert set(answer.json()["fields"]) == {"refresh_token"}


@pytest.mark.django_db(transaction=True)
def test_of_many_uses_of_one_token_at_once_one_gets_a_pair(token):
    drawn = OutstandingToken.objects.count()
    calls = [lambda: JsonClient().post(URL, {"refresh_token": token}).status_code] * 6
    assert sorted(all_at_once(*calls)) == [200, 401, 401, 401, 401, 401]
    assert OutstandingToken.objects.count() == drawn + 1
