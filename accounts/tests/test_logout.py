"""POST /api/users/logout"""

import pytest

from accounts.models import Login
from accounts.services import log_in
from accounts.tests.clock import later
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


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_whole_login_ends(anyone, token, steps):
    tokens = [token]
    for _ in range(steps):
        answer = anyone.post(REFRESH, {"refresh_token": tokens[-1]})
        tokens.append(answer.json()["refresh_token"])
    assert anyone.post(URL, {"refresh_token": tokens[-1]}).status_code == 205
    for each in tokens:
        assert anyone.post(REFRESH, {"refresh_token": each}).status_code == 401
    assert not Login.objects.exists()


def test_a_client_that_lost_the_last_answer_logs_out_all_the_same(anyone, token):
    lost = anyone.post(REFRESH, {"refresh_token": token}).json()["refresh_token"]
    assert anyone.post(URL, {"refresh_token": token}).status_code == 205
    assert anyone.post(REFRESH, {"refresh_token": lost}).status_code == 401


def test_a_used_refresh_token_is_401_and_ends_the_login_too(anyone, token, monkeypatch):
    present = anyone.post(REFRESH, {"refresh_token": token}).json()["refresh_token"]
    later(monkeypatch, seconds=11)
    assert anyone.post(URL, {"refresh_token": token}).status_code == 401
    assert anyone.post(REFRESH, {"refresh_token": present}).status_code == 401


def test_a_text_that_is_no_token_is_401(anyone, token):
    assert anyone.post(URL, {"refresh_token": "a.b.c"}).status_code == 401
    assert Login.objects.count() == 1


def test_a_stale_bearer_token_does_not_matter(anyone, token):
    anyone.credentials(HTTP_AUTHORIZATION="Bearer stale")
    assert anyone.post(URL, {"refresh_token": token}).status_code == 205


@pytest.mark.parametrize("body", [{}, {"refresh_token": None}, {"refresh_token": 1}])
def test_a_body_without_a_token_is_400(anyone, body):
    answer = anyone.post(URL, body)
    assert answer.status_code == 400
    assert set(answer.json()["fields"]) == {"refresh_token"}


@pytest.mark.django_db(transaction=True)
def test_a_login_that_is_refreshed_and_ended_at_once_is_ended(token):
    """Whichever comes first."""
    answers = {}

    def post(url):
        def call():
            answers[url] = JsonClient().post(url, {"refresh_token": token})
            return answers[url].status_code

        return call

    assert all_at_once(post(URL), post(REFRESH)) in ([205, 401], [205, 200])
    left = answers[REFRESH].json().get("refresh_token", token)
    assert JsonClient().post(REFRESH, {"refresh_token": left}).status_code == 401
    assert not Login.objects.exists()
