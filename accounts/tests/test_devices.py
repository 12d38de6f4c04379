"""POST /api/auth/device, /api/auth/device/token and the page on which a person decides"""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts import devices, forget
from accounts.models import DeviceGrant, Login, User
from accounts.recovery import passwords
from accounts.services import change_password
from mlops_platform.api.errors import Conflict
from organizations.tests.people import PASSWORD, client_for, make_user

BEGIN, TOKEN, PAGE = "/api/auth/device", "/api/auth/device/token", "/sign-on/device"
NEW = "wrong-zebra-accumulator"


@pytest.fixture
def begun(anyone, db):
    answer = anyone.post(BEGIN, {"client": "mlops on ada-laptop"})
    assert answer.status_code == 201
    return answer.json()


@pytest.fixture
def browser(ada):
    found = Client()
    found.force_login(ada)
    return found


def ask(anyone, begun, *, early=False):
    """The answer to a call for the tokens, after the interval."""
    if not early:
        DeviceGrant.objects.update(polled_at=None)
    answer = anyone.post(TOKEN, {"device_code": begun["device_code"]})
    return answer.status_code, answer.json().get("code")


def decide(browser, code, decision):
    return browser.post(PAGE, {"user_code": code, "decision": decision})


def test_a_person_lets_a_program_in(anyone, begun, browser, ada):
    assert begun["verification_uri"] == f"http://testserver{PAGE}"
    assert begun["verification_uri_complete"].endswith(f"?user_code={begun['user_code']}")
    assert ask(anyone, begun) == (400, "authorization_pending")
    page = browser.get(PAGE, {"user_code": begun["user_code"].lower().replace("-", "")})
    shown = page.content.decode()
    assert "mlops on ada-laptop" in shown
    assert "127.0.0.1" in shown
    assert begun["user_code"] in shown
    assert ask(anyone, begun) == (400, "authorization_pending")  # to look lets none in
    assert b"is let in" in decide(browser, begun["user_code"], "allow").content
    DeviceGrant.objects.update(polled_at=None)
    pair = anyone.post(TOKEN, {"device_code": begun["device_code"]}).json()
    me = client_for(None)
    me.credentials(HTTP_AUTHORIZATION=f"Bearer {pair['access_token']}")
    assert me.get("/api/users/me").json()["username"] == "ada"
    assert ask(anyone, begun) == (400, "expired_token")
    assert Login.objects.filter(user=ada).count() == 1


def test_the_page_asks_for_a_login_and_for_a_token_against_forgery(begun, ada):
    stranger = Client(enforce_csrf_checks=True)
    left = stranger.get(PAGE, {"user_code": begun["user_code"]})
    assert (left.status_code, left["Location"].startswith("/console/login/?next=")) == (302, True)
    stranger.force_login(ada)
    assert decide(stranger, begun["user_code"], "allow").status_code == 403
    assert not DeviceGrant.objects.exclude(user=None).exists()


def test_a_person_who_does_not_ends_it(anyone, begun, browser):
    assert b"is not let in" in decide(browser, begun["user_code"], "deny").content
    assert decide(browser, begun["user_code"], "allow").status_code == 400
    assert ask(anyone, begun) == (400, "access_denied")
    assert ask(anyone, begun) == (400, "expired_token")


def test_a_program_that_asks_too_soon_is_slowed_down(anyone, begun):
    assert ask(anyone, begun) == (400, "authorization_pending")
    assert ask(anyone, begun, early=True) == (400, "slow_down")


@pytest.mark.parametrize("code", ["BBBB-BBBB", "", "x" * 300, "é", "'"])
def test_a_code_with_which_nothing_waits_is_refused(browser, begun, code):
    answer = decide(browser, code, "allow")
    assert answer.status_code == (400 if code else 200)
    assert not DeviceGrant.objects.exclude(user=None).exists()


def test_an_expired_one_counts_no_more(anyone, begun, browser):
    DeviceGrant.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert decide(browser, begun["user_code"], "allow").status_code == 400
    assert ask(anyone, begun) == (400, "expired_token")
    assert sum(forget.logins()) == 1


def test_a_deactivated_user_lets_none_in(anyone, begun, browser, ada):
    decide(browser, begun["user_code"], "allow")
    User.objects.filter(pk=ada.pk).update(is_active=False)
    assert ask(anyone, begun) == (400, "access_denied")


@pytest.mark.parametrize("change", ["own", "mailed link", "operator"])
def test_one_that_was_let_in_before_another_password_was_set_gets_no_tokens(
    anyone, begun, browser, ada, change
):
    decide(browser, begun["user_code"], "allow")
    if change == "own":
        change_password(ada, PASSWORD, NEW)
    elif change == "mailed link":
        passwords.reset(passwords.token_for(ada), NEW)
    else:
        operator = Client()
        operator.force_login(make_user("root", is_staff=True, is_superuser=True))
        form = {"usable_password": "true", "password1": NEW, "password2": NEW}
        answer = operator.post(f"/admin/accounts/user/{ada.pk}/password/", form)
        assert answer.status_code == 302
    ada.refresh_from_db()
    assert ada.check_password(NEW)
    assert ask(anyone, begun) == (400, "expired_token")


def test_a_session_of_an_older_password_lets_none_in(begun, ada):
    User.objects.filter(pk=ada.pk).update(password="another")
    with pytest.raises(Conflict):
        devices.decide(ada, begun["user_code"], allow=True)
    assert not DeviceGrant.objects.exclude(user=None).exists()


def test_another_user_cannot_take_it_over(anyone, begun, browser):
    decide(browser, begun["user_code"], "allow")
    other = Client()
    other.force_login(make_user("mallory"))
    assert decide(other, begun["user_code"], "deny").status_code == 400
    DeviceGrant.objects.update(polled_at=None)
    assert anyone.post(TOKEN, {"device_code": begun["device_code"]}).status_code == 200


def test_the_table_has_no_device_code(begun):
    assert begun["device_code"] not in str(DeviceGrant.objects.values().get())


def test_codes_are_throttled(anyone, db, browser, monkeypatch):
    monkeypatch.setitem(anyone.rates(), "device", "2/min")
    assert [anyone.post(BEGIN, {}).status_code for _ in range(3)] == [201, 201, 429]
    looks = [browser.get(PAGE, {"user_code": "BBBBBBBB"}).status_code for _ in range(3)]
    assert looks == [400, 400, 429]


def test_codes_have_no_vowels():
    assert set(devices.SIGNS) & set("AEIOUY01") == set()
