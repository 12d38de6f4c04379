"""POST /api/users/logout"""

import pytest
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken

from accounts.services import log_in
from organizations.tests.people import PASSWORD, JsonClient, all_at_once

URL = "/api/users/logout"
REFRESH = "/api/users/refresh"

pytestmark = pytest.mark.django_db


@pytest.fixture
def token(ada):
    return log_in("ada", PASSWORD).refresh_token


def test_the_refresh_token_is_ended(anyone, token):
    answer = anyone.post(URL, {"refresh_token": token})
    assert answer.status_code == 205
    assert answer.content == b""
    assert anyone.post(REFRESH, {"refresh_token": token}).status_code == 401


def test_another_login_of_the_same_user_stays_valid(anyone, token):
    other = log_in("ada", PASSWORD).refresh_token
    anyone.post(URL, {"refresh_token": token})
    assert anyone.post(REFRESH, {"refresh_token": other}).status_code == 200


def test_logging_out_twice_is_401(anyone, token):
    anyone.post(URL, {"refresh_token": token})
    answer = anyone.post(URL, {"refresh_token": token})
    assert answer.status_code == 401
    assert answer.json()["code"] == "token_not_valid"


def test_a_used_refresh_token_is_401(anyone, token):
    anyone.post(REFRESH, {"refresh_token": token})
    assert anyone.post(URL, {"refresh_token": token}).status_code == 401


def test_a_text_that_is_no_token_is_401(anyone, token):
    assert anyone.post(URL, {"refresh_token": "a.b.c"}).status_code == 401
    assert BlacklistedToken.objects.count() == 0


def test_a_stale_bearer_token_does_not_matter(anyone, token):
    anyone.credentials(HTTP_AUTHORIZATION="Bearer stale")
    assert anyone.post(URL, {"refresh_token": token}).status_code == 205


@pytest.mark.parametrize("body", [{}, {"refresh_token": None}, {"refresh_token": 1}])
def test_a_body_without_a_token_is_400(anyone, body):
    answer = anyone.post(URL, body)
    assert answer.status_code == 400
    assert set(answer.json()["fields"]) == {"refresh_token"}


@pytest.mark.django_db(transaction=True)
def test_a_token_is_either_refreshed_or_ended_at_once(token):
    def post(url):
        return lambda: JsonClient().post(url, {"refresh_token": token}).status_code

    answers = all_at_once(post(URL), post(REFRESH))
    assert answers in ([205, 401], [401, 200])
