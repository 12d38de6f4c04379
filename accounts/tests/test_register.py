"""POST /api/users/register"""

import pytest

from accounts.models import User
from organizations.tests.people import PASSWORD, JsonClient, all_at_once

URL = "/api/users/register"

pytestmark = pytest.mark.django_db


def refused(answer, *fields):
    """The answer is a 400 that names exactly these fields, and no user was registered."""
    assert answer.status_code == 400, answer.content
    body = answer.json()
    assert set(body.get("fields", {})) == set(fields), body
    assert body["detail"]
    assert body["code"] == "invalid"
    assert User.objects.count() == 0
    return body


def test_a_new_user_registers(anyone):
    answer = anyone.post(URL, {"username": "ada", "password": PASSWORD})
    assert answer.status_code == 201
    ada = User.objects.get()
    assert answer.json() == {"id": str(ada.pk), "username": "ada"}
    assert ada.check_password(PASSWORD)
    assert not ada.is_staff
    assert not ada.is_superuser
    assert ada.profile.timezone == "UTC"


def test_the_trailing_slash_does_not_matter(anyone):
    assert anyone.post(URL + "/", {"username": "ada", "password": PASSWORD}).status_code == 201


def test_an_email_is_kept(anyone):
    body = {"username": "ada", "password": PASSWORD, "email": "ada@Example.ORG"}
    assert anyone.post(URL, body).status_code == 201
    assert User.objects.get().email == "ada@example.org"


def test_a_stale_token_does_not_matter(anyone):
    anyone.credentials(HTTP_AUTHORIZATION="Bearer stale")
    assert anyone.post(URL, {"username": "ada", "password": PASSWORD}).status_code == 201


@pytest.mark.parametrize("name", ["ada", "ADA", "Ada"])
def test_a_name_is_taken_in_any_letter_case(anyone, ada, name):
    answer = anyone.post(URL, {"username": name, "password": PASSWORD})
    assert answer.status_code == 400
    assert answer.json()["fields"] == {"username": ["A user with that name exists already."]}
    assert User.objects.get() == ada


def test_a_name_is_taken_in_any_unicode_form(anyone, ada):
    wide = "\uff41\uff44\uff41"  # full-width "ada"
    answer = anyone.post(URL, {"username": wide, "password": PASSWORD})
    assert answer.status_code == 400
    assert User.objects.count() == 1


@pytest.mark.parametrize(
    "password",
    ["short1!", "password123", "12345678901", "ada.lovelace", "lovelace@example", "Ada.Lovelace1"],
)
def test_a_weak_password_is_refused(anyone, password):
    body = {"username": "ada.lovelace", "password": password, "email": "lovelace@example.org"}
    refused(anyone.post(URL, body), "password")


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "a/b", "ada ", "<ada>", "a" * 151, "\ufdfa" * 100]
)
def test_an_invalid_name_is_refused(anyone, name):
    refused(anyone.post(URL, {"username": name, "password": PASSWORD}), "username")


@pytest.mark.parametrize("value", [None, 1, True, ["ada"], {"a": "b"}])
def test_wrong_types_are_refused(anyone, value):
    refused(anyone.post(URL, {"username": value, "password": PASSWORD}), "username")
    refused(anyone.post(URL, {"username": "ada", "password": value}), "password")
    body = {"username": "ada", "password": PASSWORD, "email": value}
    refused(anyone.post(URL, body), "email")


@pytest.mark.parametrize("email", ["ada", "ada@", "a@b", "a" * 250 + "@example.org", "a\n@b.org"])
def test_an_invalid_email_is_refused(anyone, email):
    body = {"username": "ada", "password": PASSWORD, "email": email}
    refused(anyone.post(URL, body), "email")


def test_a_password_too_long_to_hash_is_refused(anyone):
    refused(anyone.post(URL, {"username": "ada", "password": "x1-" * 43}), "password")
    longest = "x1-" * 42 + "yz"
    assert anyone.post(URL, {"username": "ada", "password": longest}).status_code == 201


def test_spaces_of_a_password_count(anyone):
    anyone.post(URL, {"username": "ada", "password": f"  {PASSWORD} "})
    assert User.objects.get().check_password(f"  {PASSWORD} ")


def test_missing_fields_are_named(anyone):
    refused(anyone.post(URL, {}), "username", "password")


@pytest.mark.parametrize("field", ["is_staff", "is_superuser", "id", "usernam"])
def test_unknown_fields_are_refused(anyone, field):
    refused(anyone.post(URL, {"username": "ada", "password": PASSWORD, field: True}), field)


@pytest.mark.parametrize("body", ["[]", '"ada"', "null", "1", "{", "", '{"username": "a\\u0000"}'])
def test_a_body_that_is_no_object_is_refused(anyone, body):
    answer = anyone.post(URL, body, content_type="application/json")
    assert answer.status_code == 400
    assert set(answer.json()) >= {"detail", "code"}
    assert User.objects.count() == 0


def test_registrations_of_one_address_are_limited(anyone, monkeypatch):
    monkeypatch.setitem(JsonClient.rates(), "register", "2/min")
    for name in ("ada", "dev"):
        assert anyone.post(URL, {"username": name, "password": PASSWORD}).status_code == 201
    answer = anyone.post(URL, {"username": "vera", "password": PASSWORD})
    assert answer.status_code == 429
    assert answer.json()["code"] == "throttled"
    assert 0 < int(answer["Retry-After"]) <= 61
    assert not User.objects.filter(username="vera").exists()


@pytest.mark.django_db(transaction=True)
def test_of_many_registrations_of_one_name_at_once_one_succeeds():
    names = ["ada", "Ada", "ADA", "aDa"]

    def take(name):
        return lambda: JsonClient().post(URL, {"username": name, "password": PASSWORD})

    answers = all_at_once(*map(take, names))
    assert sorted(answer.status_code for answer in answers) == [201, 400, 400, 400]
    for answer in answers:
        if answer.status_code == 400:
            assert set(answer.json()["fields"]) == {"username"}
    assert User.objects.count() == 1
