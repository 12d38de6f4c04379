"""Too many attempts are refused, at the API's login and at the admin's alike."""

import pytest
from django.test import Client

from mlops_platform.tests.equipment.errors import error_body
from mlops_platform.tests.equipment.world import fingerprint
from organizations.tests.people import PASSWORD


@pytest.mark.parametrize(
    ("call", "body", "status"),
    [
        ("/api/users/login", {"username": "ada", "password": "wrong"}, 401),
        ("/api/users/register", {"username": "ada", "password": PASSWORD}, 400),
    ],
)
def test_too_many_attempts_are_429_and_say_when_to_come_back(
    ada, anyone, monkeypatch, call, body, status
):
    for scope in ("login", "register"):
        monkeypatch.setitem(anyone.rates(), scope, "3/min")
    assert [anyone.post(call, body).status_code for _ in range(3)] == [status] * 3
    before = fingerprint()
    answer = anyone.post(call, body)
    assert answer.status_code == 429
    assert error_body(answer)["code"] == "throttled"
    assert 0 < int(answer["Retry-After"]) <= 61
    assert fingerprint() == before


@pytest.mark.parametrize("asked", ["right", "wrong"])
def test_the_admins_login_counts_together_with_the_apis(ada, anyone, monkeypatch, asked):
    """An operator's password cannot be guessed at the second door once the first is shut."""
    ada.is_staff = True
    ada.save()
    monkeypatch.setitem(anyone.rates(), "login", "3/min")
    for _ in range(3):
        anyone.post("/api/users/login", {"username": "ada", "password": "wrong"})
    password = PASSWORD if asked == "right" else "wrong"
    answer = Client().post("/admin/login/", {"username": "Ada", "password": password})
    assert answer.status_code == 200
    assert "Too many attempts" in answer.content.decode()
    assert "sessionid" not in answer.cookies


def test_an_operator_logs_in(ada):
    ada.is_staff = True
    ada.save()
    client = Client(enforce_csrf_checks=True)
    token = client.get("/admin/login/").cookies["csrftoken"].value
    form = {"username": "ada", "password": PASSWORD, "csrfmiddlewaretoken": token}
    answer = client.post("/admin/login/?next=/admin/", form)
    assert answer.status_code == 302, answer.content
    assert answer.cookies["sessionid"]["httponly"]
    assert answer.cookies["sessionid"]["samesite"] == "Lax"
