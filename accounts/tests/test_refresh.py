"""POST /api/users/refresh"""

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from accounts.models import Login, User
from accounts.services import LoginToken, log_in
from accounts.tests.clock import later
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


def next_of(token):
    """The refresh token that the client gets for this one."""
    answer = JsonClient().post(URL, {"refresh_token": token})
    assert answer.status_code == 200, answer.content
    return answer.json()["refresh_token"]


def read(token: str) -> LoginToken:
    return LoginToken(token)  # type: ignore[arg-type]  # it takes text, its hint is wrong


def ids(*tokens):
    return [read(token)["jti"] for token in tokens]


def test_a_refresh_token_can_be_used_once(anyone, token, monkeypatch):
    next_of(token)
    later(monkeypatch, seconds=11)
    refused(anyone.post(URL, {"refresh_token": token}))


def test_a_reused_token_ends_the_whole_login(anyone, token, monkeypatch, caplog):
    """A thief has used one of the tokens before the user, or after: the two look the same."""
    chain = [token]
    for _ in range(3):
        chain.append(next_of(chain[-1]))
    later(monkeypatch, seconds=11)
    refused(anyone.post(URL, {"refresh_token": chain[2]}))
    assert "a refresh token was used twice" in caplog.text
    for each in chain:
        refused(anyone.post(URL, {"refresh_token": each}))
    assert not Login.objects.exists()


@pytest.mark.parametrize("place", [0, 1])
def test_an_older_token_ends_the_login_at_once(anyone, token, place):
    """Its successor has been used, so no client has lost that."""
    chain = [token, next_of(token)]
    chain += [next_of(chain[-1]), next_of(next_of(chain[-1]))]
    refused(anyone.post(URL, {"refresh_token": chain[place]}))
    refused(anyone.post(URL, {"refresh_token": chain[-1]}))


def test_another_login_of_the_same_user_goes_on(anyone, token):
    other = log_in("ada", PASSWORD).refresh_token
    next_of(next_of(token))
    refused(anyone.post(URL, {"refresh_token": token}))
    assert Login.objects.count() == 1
    next_of(other)


def test_a_client_that_lost_the_answer_tries_again_and_stays_logged_in(token, monkeypatch):
    lost = next_of(token)
    later(monkeypatch, seconds=9)
    again = next_of(token)
    assert ids(again) == ids(lost)  # the same one: a login never has two
    later(monkeypatch, minutes=15)
    next_of(again)


def test_a_thief_who_uses_the_token_as_quickly_is_found_out(anyone, token, monkeypatch):
    users, thiefs = next_of(token), next_of(token)
    later(monkeypatch, minutes=15)
    next_of(users)
    later(monkeypatch, minutes=1)
    refused(anyone.post(URL, {"refresh_token": thiefs}))
    assert not Login.objects.exists()


def test_a_text_that_is_no_refresh_token_is_refused(anyone, ada, token):
    late = read(token)
    late.set_exp(lifetime=-api_settings.LEEWAY - timedelta(seconds=1))
    unknown = read(log_in("ada", PASSWORD).refresh_token)
    Login.objects.filter(pk=unknown["login"]).delete()
    strange = []
    values: list[Any] = [None, "x", 5, [], str(unknown["login"])]
    for value in values:
        odd = read(token)
        odd["login"] = value
        strange.append(str(odd))
    others = ["x", "a.b.c", "\u00e9.\u00e9.\u00e9", token[:-4] + "AAAA", *strange]
    before = list(Login.objects.values())
    for text in (
        *others,
        str(AccessToken.for_user(ada)),
        str(RefreshToken.for_user(ada)),  # as an earlier version made them
        str(late),
        str(unknown),
    ):
        refused(anyone.post(URL, {"refresh_token": text}))
    assert list(Login.objects.values()) == before
    assert anyone.post(URL, {"refresh_token": token}).status_code == 200


def test_a_refresh_costs_two_queries_and_the_table_has_no_token(
    anyone, token, django_assert_num_queries
):
    with django_assert_num_queries(4):  # and the two of the savepoint
        next_of(token)
    kept = str(list(Login.objects.values()))
    assert token not in kept
    assert token.split(".")[2] not in kept


def test_an_operator_who_changes_a_password_ends_all_logins(anyone, client, ada, token):
    other = log_in("ada", PASSWORD)
    client.force_login(User.objects.create_superuser("root", password=PASSWORD))
    page = reverse("admin:auth_user_password_change", args=[ada.pk])
    new = "another-good-one"
    body = {"password1": new, "password2": new, "usable_password": "true"}
    assert client.post(page, body).status_code == 302
    refused(anyone.post(URL, {"refresh_token": token}))
    refused(anyone.post(URL, {"refresh_token": other.refresh_token}))
    anyone.credentials(HTTP_AUTHORIZATION=f"Bearer {other.access_token}")
    assert anyone.get("/api/users/me").status_code == 401


def test_an_operator_who_changes_the_own_password_ends_the_other_sessions(client, db):
    root = User.objects.create_superuser("root", password=PASSWORD)
    elsewhere = type(client)()
    for each in (client, elsewhere):
        each.force_login(root)
        assert each.get("/admin/").status_code == 200
    new = "another-good-one"
    body = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert client.post("/admin/password_change/", body).status_code == 302
    assert client.get("/admin/").status_code == 200
    assert elsewhere.get("/admin/").status_code == 302


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
def test_of_many_uses_of_one_token_at_once_all_get_the_same_next_token(token):
    """As tabs of one browser use it, all of which know the same token."""
    calls = [lambda: JsonClient().post(URL, {"refresh_token": token})] * 6
    answers = all_at_once(*calls)
    assert {answer.status_code for answer in answers} == {200}
    assert len(set(ids(*(answer.json()["refresh_token"] for answer in answers)))) == 1
    login = Login.objects.get()
    assert [login.spent_id, login.token_id] == ids(token, answers[0].json()["refresh_token"])


@pytest.mark.django_db(transaction=True)
def test_of_a_reuse_and_a_use_at_once_none_leaves_a_valid_token(token, monkeypatch):
    present = next_of(token)
    later(monkeypatch, seconds=11)

    def use(each):
        return lambda: JsonClient().post(URL, {"refresh_token": each}).status_code

    reused, used = all_at_once(use(token), use(present))
    assert reused == 401
    assert used in {200, 401}
    assert not Login.objects.exists()
