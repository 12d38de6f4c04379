"""The second factor of operators: asked for, enrolled, replaced, lost and required."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts.models import User
from accounts.tests.clock import later
from mlops_platform.admin.second_factor import KEY, forget_devices
from organizations.tests.people import PASSWORD, JsonClient, all_at_once

LOGIN, ASK = "/admin/login/", "/admin/second-factor/"
ENROL, CODES = "/admin/second-factor/enrol/", "/admin/second-factor/codes/"
USERS = "/admin/accounts/user/"


@pytest.fixture
def root(db):
    return User.objects.create_superuser("root", password=PASSWORD)


@pytest.fixture
def required(settings):
    settings.REQUIRE_STAFF_TOTP = True


def log_in(client, **body):
    return client.post(LOGIN, {"username": "root", "password": PASSWORD, "next": "/admin/", **body})


def code_of(key, offset=0):
    totp = TOTP(bytes.fromhex(key))
    return f"{(totp.token() + offset) % 10**6:06}"


def enrolled(user):
    """A device of the user, and one recovery code."""
    device = TOTPDevice.objects.create(user=user, name="app")
    codes = StaticDevice.objects.create(user=user, name="recovery codes")
    StaticToken.objects.create(device=codes, token="abcdefgh23456723")
    return device


def is_in(client):
    return client.get(USERS).status_code == 200


def leads_to(answer, path):
    return answer.status_code == 302 and answer["Location"].partition("?")[0] == path


class TestWithADevice:
    """Whether or not one is required."""

    @pytest.fixture(autouse=True, params=[True, False], ids=["required", "not required"])
    def _required(self, settings, request):
        settings.REQUIRE_STAFF_TOTP = request.param

    @pytest.fixture
    def device(self, root):
        return enrolled(root)

    def test_the_password_alone_opens_no_page(self, client, device):
        assert leads_to(log_in(client), "/admin/")
        for path in ("/admin/", USERS, "/admin/password_change/", "/admin/autocomplete/"):
            answer = client.get(path, follow=True)
            assert answer.redirect_chain[-1][0].startswith(ASK), path
            assert "operators-nav" not in answer.content.decode()
            assert client.post(path, {}).status_code == 302
        for path in (ENROL, CODES):
            assert leads_to(client.get(path), ASK if path == ENROL else ENROL)
            assert leads_to(client.post(path, {"code": "1"}), ASK if path == ENROL else ENROL)
        assert StaticToken.objects.count() == 1
        assert TOTPDevice.objects.get() == device

    def test_a_code_opens_the_page_that_was_wanted(self, client, device):
        asked = client.get(USERS, follow=True)  # to the login
        log_in(client, next=asked.context["next"])
        page = client.get(f"{LOGIN}?next={USERS}", follow=True)
        before = client.session.session_key
        body = {"code": f" {code_of(device.key)} ", "next": page.context["next"]}
        assert leads_to(client.post(ASK, body), USERS)
        assert is_in(client)
        assert client.session.session_key != before

    def test_a_code_is_taken_once(self, client, device):
        code = code_of(device.key)
        for status in (302, 200):
            other = Client()
            log_in(other)
            assert other.post(ASK, {"code": code}).status_code == status
        assert not is_in(other)

    @pytest.mark.parametrize(
        "code",
        ["", "000000", "12345", "1234567", "x", "\u0661\u0662\u0663\u0664\u0665\u0666", "1" * 41],
    )
    def test_a_wrong_code_opens_nothing(self, client, device, code):
        wrong = code_of(device.key, 1) if code == "000000" else code
        log_in(client)
        answer = client.post(ASK, {"code": wrong})
        assert answer.status_code == 200
        assert not is_in(client)

    def test_guesses_wait_longer_each_time(self, client, device, monkeypatch):
        log_in(client)
        assert "wrong" in client.post(ASK, {"code": code_of(device.key, 1)}).content.decode()
        answer = client.post(ASK, {"code": code_of(device.key)})
        assert "Too many wrong codes; wait" in answer.content.decode()
        assert not is_in(client)
        TOTPDevice.objects.update(throttling_failure_count=10)
        later(monkeypatch, seconds=500)  # 512 are to be waited
        client.post(ASK, {"code": code_of(device.key)})
        assert not is_in(client)
        later(monkeypatch, seconds=20)
        client.post(ASK, {"code": code_of(device.key)})
        assert is_in(client)

    def test_codes_of_one_address_are_throttled_too(self, client, device, monkeypatch):
        monkeypatch.setitem(JsonClient.rates(), "login_address", "2/min")
        log_in(client)
        client.post(ASK, {"code": "x"})
        answer = client.post(ASK, {"code": code_of(device.key)})
        assert "Too many attempts" in answer.content.decode()
        assert not is_in(client)

    def test_a_recovery_code_opens_once(self, client, device):
        for status in (302, 200):
            other = Client()
            log_in(other)
            assert other.post(ASK, {"code": "ABCD efgh 2345 6723"}).status_code == status
        assert not StaticToken.objects.exists()

    def test_a_code_of_another_operator_opens_nothing(self, client, device):
        other = enrolled(User.objects.create_superuser("olga", password=PASSWORD))
        log_in(client)
        client.post(ASK, {"code": code_of(other.key)})
        assert not is_in(client)

    def test_a_device_that_is_removed_takes_its_rights_along(self, client, root, device, settings):
        log_in(client)
        client.post(ASK, {"code": code_of(device.key)})
        assert is_in(client)
        forget_devices(root)
        assert is_in(client) is not settings.REQUIRE_STAFF_TOTP

    def test_another_operator_can_log_in_from_the_page(self, client, device):
        log_in(client)
        assert leads_to(client.post(ASK, {"log_out": "yes"}), LOGIN)
        assert "_auth_user_id" not in client.session

    @pytest.mark.parametrize("wanted", ["https://evil.test/", "//evil.test", "javascript:x", ""])
    def test_the_page_leads_nowhere_else(self, client, device, wanted):
        log_in(client)
        body = {"code": code_of(device.key), "next": wanted}
        assert client.post(ASK, body)["Location"] == "/admin/"


class TestEnrolling:
    def key(self, client):
        assert client.get(ENROL).status_code == 200
        return client.session[KEY]

    def test_where_it_is_required_the_first_login_leads_to_it(self, client, root, required):
        log_in(client)
        answer = client.get(USERS, follow=True)
        assert answer.redirect_chain[-1][0] == ENROL
        text = answer.content.decode()
        assert 'src="data:image/svg+xml' in text
        assert answer["Cache-Control"].count("no-store")

        answer = client.post(ENROL, {"code": code_of(self.key(client))})
        codes = re.findall(r"<li><code>([a-z2-7 ]+)</code>", answer.content.decode())
        assert len(set(codes)) == 10
        assert is_in(client)

        other = Client()
        log_in(other)
        assert not is_in(other)
        other.post(ASK, {"code": codes[3]})
        assert is_in(other)

    def test_a_wrong_code_enrols_nothing_and_keeps_the_key(self, client, root, required):
        log_in(client)
        key = self.key(client)
        for code in (code_of(key, 1), "", "abcdef"):
            assert client.post(ENROL, {"code": code}).status_code == 200
        assert not TOTPDevice.objects.exists()
        assert self.key(client) == key
        assert not is_in(client)

    def test_the_code_that_enrolled_does_not_log_in(self, client, root, required):
        log_in(client)
        code = code_of(self.key(client))
        client.post(ENROL, {"code": code})
        other = Client()
        log_in(other)
        other.post(ASK, {"code": code})
        assert not is_in(other)

    def test_the_key_is_known_to_its_session_alone(self, client, root, required):
        log_in(client)
        key, other = self.key(client), Client()
        log_in(other)
        assert self.key(other) != key
        assert not TOTPDevice.objects.exists()

    def test_a_second_device_replaces_the_first_and_its_codes(self, client, root, required):
        device = enrolled(root)
        log_in(client)
        client.post(ASK, {"code": code_of(device.key)})
        assert "Replace it" in client.get(ENROL).content.decode()
        client.post(ENROL, {"code": code_of(self.key(client))})
        assert TOTPDevice.objects.get().pk != device.pk
        assert not StaticToken.objects.filter(token="abcdefgh23456723").exists()
        assert StaticToken.objects.count() == 10
        assert is_in(client)

    def test_recovery_codes_are_made_anew(self, client, root, required):
        device = enrolled(root)
        log_in(client)
        client.post(ASK, {"code": code_of(device.key)})
        assert client.post(CODES).status_code == 200
        assert StaticToken.objects.count() == 10
        assert not StaticToken.objects.filter(token="abcdefgh23456723").exists()
        assert leads_to(client.get(CODES), ENROL)

    def test_where_none_is_required_an_operator_may_enrol(self, client, root):
        log_in(client)
        assert is_in(client)
        client.post(ENROL, {"code": code_of(self.key(client))})
        other = Client()
        log_in(other)
        assert not is_in(other)


@pytest.mark.parametrize("path", [ASK, ENROL, CODES])
def test_the_pages_are_for_operators(client, ada, path):
    for login in (lambda: None, lambda: client.force_login(ada)):
        login()
        for method in (client.get, client.post):
            assert leads_to(method(path), LOGIN)


def test_the_login_page_is_throttled_as_before(client, root, required, monkeypatch):
    monkeypatch.setitem(JsonClient.rates(), "login", "2/min")
    for _ in range(2):
        log_in(client, password="wrong")
    assert "Too many attempts" in log_in(client).content.decode()
    assert "_auth_user_id" not in client.session


def test_an_operator_removes_anothers_second_factor(client, root):
    olga = User.objects.create_superuser("olga", password=PASSWORD)
    enrolled(olga)
    client.force_login(root)
    page = reverse("admin:accounts_user_changelist")
    body = {"action": "reset_second_factor", "_selected_action": [str(olga.pk)]}
    assert client.post(page, body).status_code == 302
    assert not TOTPDevice.objects.exists()
    assert not StaticDevice.objects.exists()


def test_keys_and_recovery_codes_have_no_pages(client, root):
    client.force_login(root)
    for path in ("otp_totp/totpdevice", "otp_static/staticdevice"):
        assert client.get(f"/admin/{path}/").status_code == 404


def test_a_request_without_a_second_factor_costs_no_query_more(
    client, root, django_assert_num_queries
):
    client.force_login(root)
    client.get(ENROL)
    with django_assert_num_queries(2):  # the session, the operator
        client.get("/admin/logout/")


@pytest.mark.django_db(transaction=True)
def test_of_one_code_given_at_once_one_opens() -> None:
    root = User.objects.create_superuser("root", password=PASSWORD)
    code = code_of(enrolled(root).key)
    clients = [Client() for _ in range(4)]
    for client in clients:
        log_in(client)

    def give(client: Client) -> Any:
        return lambda: client.post(ASK, {"code": code}).status_code

    assert sorted(all_at_once(*map(give, clients))) == [200, 200, 200, 302]
