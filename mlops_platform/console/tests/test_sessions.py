"""Sessions of members: passwords, second factors, ends."""

import time
from typing import Any

import pytest
from django.test import Client
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts.models import User
from organizations.tests.people import PASSWORD, make_user

pytestmark = pytest.mark.django_db
LOGIN, CODE, HOME = "/console/login/", "/console/login/code/", "/console/"


def log_in(client: Client, username: str, password: str = PASSWORD) -> Any:
    return client.post(LOGIN, {"username": username, "password": password, "next": HOME})


def code_of(device: TOTPDevice) -> str:
    totp = TOTP(device.bin_key)
    totp.time = time.time()
    return f"{totp.token():06}"


@pytest.fixture
def device(dev: User) -> TOTPDevice:
    return TOTPDevice.objects.create(user=dev, name="app", confirmed=True)


def test_a_password_lets_a_member_in_and_a_wrong_one_does_not(dev: User, client: Client) -> None:
    refused = log_in(client, "dev", "wrong")
    assert refused.status_code == 200
    assert 'role="alert"' in refused.content.decode()
    assert client.get(HOME).status_code == 302
    assert log_in(client, "dev")["Location"] == HOME
    assert client.get(HOME).status_code == 200


@pytest.mark.parametrize("address", ["//evil.example", "https://evil.example/", "javascript:1"])
def test_a_login_leads_to_no_other_site(dev: User, client: Client, address: str) -> None:
    form = {"username": "dev", "password": PASSWORD, "next": address}
    assert client.post(LOGIN, form)["Location"] == HOME


def test_where_a_second_factor_is_set_the_password_alone_opens_nothing(
    dev: User, device: TOTPDevice, client: Client
) -> None:
    log_in(client, "dev")
    for path in (HOME, "/console/deployments/", "/console/news/"):
        answer = client.get(path)
        assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, CODE), path
    wrong = client.post(CODE, {"code": "000000", "next": HOME})
    assert "This code is wrong" in wrong.content.decode()
    device.refresh_from_db()
    device.throttle_reset()
    assert client.post(CODE, {"code": code_of(device), "next": HOME})["Location"] == HOME
    assert client.get(HOME).status_code == 200


def test_an_operator_who_needs_a_device_enrols_it_first(
    db: None, client: Client, settings: Any
) -> None:
    settings.REQUIRE_STAFF_TOTP = True
    make_user("olga", is_staff=True)
    log_in(client, "olga")
    assert client.get(HOME, follow=True).redirect_chain[-1][0] == "/admin/second-factor/enrol/"


def test_members_need_no_device_where_operators_do(
    dev: User, client: Client, settings: Any
) -> None:
    settings.REQUIRE_STAFF_TOTP = True
    log_in(client, "dev")
    assert client.get(HOME).status_code == 200


def test_a_logout_a_deactivation_and_another_password_end_a_session(
    dev: User, client: Client
) -> None:
    def ended() -> bool:
        return client.get(HOME).status_code == 302

    log_in(client, "dev")
    assert client.get("/console/logout/").status_code == 405
    assert not ended()
    assert client.post("/console/logout/")["Location"] == LOGIN
    assert ended()

    log_in(client, "dev")
    User.objects.filter(pk=dev.pk).update(is_active=False)
    assert ended()
    User.objects.filter(pk=dev.pk).update(is_active=True)

    log_in(client, "dev")
    dev.set_password("another-long-password")
    dev.save(update_fields=["password"])
    assert ended()


def test_guesses_are_counted_with_those_of_the_api(dev: User, monkeypatch: Any) -> None:
    from mlops_platform.api.throttling.throttles import LoginThrottle  # after the settings

    monkeypatch.setitem(LoginThrottle.THROTTLE_RATES, "login", "2/min")
    client = Client()
    for _ in range(2):
        log_in(client, "dev", "wrong")
    assert "Too many attempts" in log_in(client, "dev").content.decode()
    assert client.get(HOME).status_code == 302
