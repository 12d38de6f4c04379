"""POST /api/users/me/password"""

import pytest

from accounts.keys.services import create_key
from accounts.models import Login
from accounts.services import begin_login
from mlops_platform.api.scopes import KeyScope
from organizations.tests.people import PASSWORD, JsonClient

URL = "/api/users/me/password"
ME = "/api/users/me"
NEW = "wrong-zebra-accumulator"
CHANGE = {"old_password": PASSWORD, "new_password": NEW}


def by(token):
    client = JsonClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


def test_the_new_password_counts_and_all_other_logins_end(anyone, ada, dev):
    here, elsewhere, of_dev = begin_login(ada), begin_login(ada), begin_login(dev)
    answer = by(here.access_token).post(URL, CHANGE)
    assert answer.status_code == 200
    new = answer.json()
    for old in (here, elsewhere):
        assert by(old.access_token).get(ME).status_code == 401
        refreshed = anyone.post("/api/users/refresh", {"refresh_token": old.refresh_token})
        assert refreshed.status_code == 401
    assert by(new["access_token"]).get(ME).status_code == 200
    refreshed = anyone.post("/api/users/refresh", {"refresh_token": new["refresh_token"]})
    assert refreshed.status_code == 200
    assert by(of_dev.access_token).get(ME).status_code == 200
    for password, status in ((PASSWORD, 401), (NEW, 200)):
        login = {"username": "ada", "password": password}
        assert anyone.post("/api/users/login", login).status_code == status


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"old_password": "of-another-horse"}, "old_password"),
        ({"old_password": f" {PASSWORD}"}, "old_password"),
        ({"old_password": ""}, "old_password"),
        ({"new_password": PASSWORD}, "new_password"),
        ({"new_password": "password"}, "new_password"),
        ({"new_password": "20261127"}, "new_password"),
        ({"new_password": "x" * 129}, "new_password"),
        ({"user_id": "ada"}, "user_id"),
    ],
)
def test_a_refusal_names_its_field_and_changes_nothing(ada, change, field):
    pair, before = begin_login(ada), ada.password
    answer = by(pair.access_token).post(URL, {**CHANGE, **change})
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [field]
    ada.refresh_from_db()
    assert ada.password == before
    assert Login.objects.filter(user=ada).count() == 1


def test_the_old_password_is_guessed_slowly(monkeypatch, ada):
    monkeypatch.setitem(JsonClient.rates(), "password", "2/min")
    client = by(begin_login(ada).access_token)
    guess = {**CHANGE, "old_password": "of-another-horse"}
    assert [client.post(URL, guess).status_code for _ in range(3)] == [400, 400, 429]
    refused = client.post(URL, CHANGE)
    assert refused.status_code == 429
    assert int(refused["Retry-After"]) > 0
    ada.refresh_from_db()
    assert ada.check_password(PASSWORD)


def test_neither_a_stranger_nor_a_key_changes_it(anyone, ada):
    before = ada.password
    key = create_key(ada, "robot", KeyScope.MANAGE).token
    assert anyone.post(URL, CHANGE).status_code == 401
    assert by(key).post(URL, CHANGE).json()["code"] == "not_with_a_key"
    ada.refresh_from_db()
    assert ada.password == before
