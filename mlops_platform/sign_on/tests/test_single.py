"""/sign-on/oidc: logins by a real OpenID provider, and each answer of it that admits no user"""

import base64
import hashlib
import time
from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import flask
import pytest
from django.test import Client
from django_otp.plugins.otp_totp.models import TOTPDevice
from joserfc.jwk import RSAKey
from oidc_provider_mock import _app as mock

from accounts.models import Identity, User
from mlops_platform.environment.sign_on import Provider
from mlops_platform.sign_on import provider
from organizations.models import Ban, GroupRole, Membership, Role
from organizations.tests.people import PASSWORD, make_member, make_user


def test_a_new_person_gets_an_account_and_a_session(visitor):
    back = visitor.log_in(wanted="/sign-on/device")
    assert (back.status_code, back["Location"]) == (302, "/sign-on/device")
    grace = User.objects.get(username="grace")
    assert visitor.user_id == str(grace.pk)
    assert (grace.email, grace.has_verified_email) == ("grace@example.org", True)
    assert not grace.has_usable_password()
    assert list(Identity.objects.values_list("issuer", "subject")) == [(visitor.issuer, "1815")]


def test_the_code_is_asked_for_with_state_nonce_and_pkce(visitor):
    asked = parse_qs(urlsplit(visitor.leave()).query)
    assert asked["response_type"] == ["code"]
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["redirect_uri"] == ["http://testserver/sign-on/oidc/callback"]
    assert {"state", "nonce", "code_challenge"} <= set(asked)


def test_the_code_is_traded_with_the_verifier_of_its_challenge(visitor, monkeypatch):
    sent: list[str] = []
    sound = mock.AuthorizationCodeGrant.validate_token_request

    def noted(grant):
        sent.append(flask.request.form["code_verifier"])
        return sound(grant)

    monkeypatch.setattr(mock.AuthorizationCodeGrant, "validate_token_request", noted)
    address = visitor.leave()
    assert visitor.browser.get(visitor.authenticate(address)).status_code == 302
    [verifier] = sent
    digest = hashlib.sha256(verifier.encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert parse_qs(urlsplit(address).query)["code_challenge"] == [challenge]


def test_a_known_person_is_the_same_user_whatever_the_claims_say_now(visitor):
    visitor.log_in()
    visitor.set_claims("1815", preferred_username="hopper", email="hopper@example.org")
    visitor.browser = Client()
    visitor.log_in()
    assert User.objects.get(pk=visitor.user_id).username == "grace"
    assert User.objects.count() == 1


@pytest.mark.parametrize("claims", [{"email_verified": False}, {"email_verified": True}])
def test_neither_a_name_nor_an_address_leads_to_the_account_of_another(visitor, claims):
    ours = make_user("Grace", email="grace@example.org", verified_email="grace@example.org")
    visitor.set_claims("1815", preferred_username="grace", email="grace@example.org", **claims)
    visitor.log_in()
    assert visitor.user_id not in ("", str(ours.pk))
    made = User.objects.get(pk=visitor.user_id)
    assert made.username.startswith("grace-")
    assert not made.has_verified_email


def test_the_same_subject_of_another_issuer_is_another_person(visitor):
    theirs = make_user("theirs")
    Identity.objects.create(user=theirs, issuer="https://other.example.org", subject="1815")
    visitor.log_in()
    assert visitor.user_id not in ("", str(theirs.pk))


@pytest.mark.parametrize("name", [None, "", "a b", "\u0430-and-a", "x" * 400, 7])
def test_a_name_that_is_none_here_becomes_another(visitor, name):
    visitor.set_claims("1815", preferred_username=name)
    assert visitor.log_in().status_code == 302
    assert User.objects.count() == 1


def test_a_deactivated_user_is_refused(visitor):
    visitor.log_in()
    User.objects.update(is_active=False)
    visitor.browser = Client()
    refused = visitor.log_in()
    assert (refused.status_code, visitor.user_id) == (403, "")
    assert b"Your account is deactivated" in refused.content


def test_where_it_makes_no_users_it_says_so(visitor, settings):
    settings.OIDC = replace(settings.OIDC, makes_users=False)
    refused = visitor.log_in()
    assert (refused.status_code, visitor.user_id) == (403, "")
    assert b"No account of this platform is connected" in refused.content
    assert not User.objects.exists()


def test_a_user_with_a_password_connects_the_account_by_agreeing(visitor):
    ada = make_user("ada")
    visitor.browser = Client(enforce_csrf_checks=True)
    visitor.browser.force_login(ada)
    asked = visitor.log_in()
    assert b"grace of single sign-on logs in as this account" in asked.content
    assert not Identity.objects.exists()
    assert visitor.browser.post("/sign-on/oidc/connect").status_code == 403
    visitor.log_in()
    form = {"csrfmiddlewaretoken": visitor.browser.get("/sign-on/device").context["csrf_token"]}
    assert visitor.browser.post("/sign-on/oidc/connect", form).status_code == 302
    assert Identity.objects.get().user == ada
    visitor.browser = Client()
    visitor.log_in()
    assert visitor.user_id == str(ada.pk)


def test_an_operator_logs_in_by_it_and_another_user_gets_no_admin(visitor):
    page = visitor.browser.get("/admin/login/?next=/admin/accounts/user/").content.decode()
    assert "/sign-on/oidc?next=/admin/accounts/user/" in page
    assert visitor.log_in(wanted="/admin/")["Location"] == "/admin/"
    assert visitor.browser.get("/admin/").status_code == 302
    User.objects.update(is_staff=True, is_superuser=True)
    assert visitor.browser.get("/admin/").status_code == 200


def test_an_operator_gives_the_second_factor_here_too(visitor, settings):
    settings.REQUIRE_STAFF_TOTP = True
    visitor.log_in()
    User.objects.update(is_staff=True, is_superuser=True)
    assert visitor.browser.get("/admin/")["Location"].startswith("/admin/login/")
    led = visitor.browser.get("/admin/login/")
    assert led["Location"].startswith("/admin/second-factor/")


def test_a_password_alone_connects_nothing_where_a_second_factor_is_set(visitor):
    ada = make_user("ada")
    TOTPDevice.objects.create(user=ada, name="app", confirmed=True)
    visitor.browser.force_login(ada, "django.contrib.auth.backends.ModelBackend")
    assert visitor.log_in()["Location"] == "/console/login/code/?next=/sign-on/oidc"
    session = visitor.browser.session
    session["sign_on_claims"] = {"sub": "1815", "groups": []}
    session.save()
    led = visitor.browser.post("/sign-on/oidc/connect")
    assert led["Location"] == "/console/login/code/?next=/sign-on/oidc"
    assert not Identity.objects.exists()


def test_without_a_provider_there_is_no_page(visitor, settings):
    assert b"Log in with single sign-on" in visitor.browser.get("/console/login/").content
    settings.OIDC = Provider()
    assert visitor.browser.get("/sign-on/oidc").status_code == 404
    assert b"single sign-on" not in visitor.browser.get("/console/login/").content


def test_it_leads_to_pages_of_ours_alone(visitor):
    assert visitor.log_in(wanted="https://evil.example.org/")["Location"] == "/console/"


# --- Answers that admit no user ----------------------------------------------------------------


def refused(visitor, path):
    answer = visitor.browser.get(path)
    assert answer.status_code == 400
    assert visitor.user_id == ""
    assert not User.objects.exists()
    return answer.content.decode()


def test_a_replayed_answer_is_refused(visitor):
    path = visitor.authenticate(visitor.leave())
    assert visitor.browser.get(path).status_code == 302
    visitor.browser.logout()
    User.objects.all().delete()
    assert "used already" in refused(visitor, path)


def test_the_answer_to_another_browser_is_refused(visitor):
    """A login that an attacker has begun must not become the victim's."""
    path = visitor.authenticate(visitor.leave())
    visitor.browser = Client()
    assert "begun elsewhere" in refused(visitor, path)


def test_an_answer_without_state_is_refused(visitor):
    visitor.leave()
    assert "begun elsewhere" in refused(visitor, "/sign-on/oidc/callback?code=x")


def test_a_refusal_of_the_provider_is_said(visitor):
    path = visitor.authenticate(visitor.leave(), action="deny")
    assert "The provider refuses" in refused(visitor, path)


def test_a_code_that_the_provider_does_not_know_is_refused(visitor):
    path = visitor.authenticate(visitor.leave())
    state = parse_qs(urlsplit(path).query)["state"][0]
    assert "The provider refuses" in refused(
        visitor, f"/sign-on/oidc/callback?code=made-up&state={state}"
    )


def config(monkeypatch, **changed):
    """Changes how the provider signs its ID tokens."""
    sound = mock.OpenIDCode.get_jwt_config
    monkeypatch.setattr(
        mock.OpenIDCode, "get_jwt_config", lambda *args, **kw: {**sound(*args, **kw), **changed}
    )


def test_an_answer_for_another_client_is_refused(visitor, monkeypatch):
    monkeypatch.setattr(mock.OpenIDCode, "get_audiences", lambda *_: ["other"], raising=False)
    assert "another client" in refused(visitor, visitor.authenticate(visitor.leave()))


def test_an_answer_of_another_issuer_is_refused(visitor, monkeypatch):
    config(monkeypatch, iss="https://other.example.org")
    assert "another issuer" in refused(visitor, visitor.authenticate(visitor.leave()))


def test_an_expired_answer_is_refused(visitor, monkeypatch):
    config(monkeypatch, exp=-3600)
    assert "has expired" in refused(visitor, visitor.authenticate(visitor.leave()))


def test_an_answer_with_another_key_is_refused(visitor, monkeypatch):
    visitor.log_in()  # it has read the sound key
    User.objects.all().delete()
    visitor.browser = Client()
    config(monkeypatch, key=RSAKey.generate_key(2048).as_dict(private=True))
    assert "not signed by a key of the provider" in refused(
        visitor, visitor.authenticate(visitor.leave())
    )


def test_an_answer_to_another_login_of_the_browser_is_refused(visitor, monkeypatch):
    """Its nonce is of the other."""
    path = visitor.authenticate(visitor.leave())
    session = visitor.browser.session
    for name, kept in session.items():
        if name.startswith("_state_"):
            kept["data"]["nonce"] = "another"
    session.save()
    assert "belongs to another login" in refused(visitor, path)


def test_an_answer_without_an_id_token_is_refused(visitor, monkeypatch):
    monkeypatch.setattr(mock.OpenIDCode, "process_token", lambda *_: {})
    assert "without an ID token" in refused(visitor, visitor.authenticate(visitor.leave()))


def test_metadata_of_another_issuer_are_refused(visitor, settings):
    settings.OIDC = Provider(issuer=visitor.issuer.replace("localhost", "Localhost"), client_id="x")
    answer = visitor.browser.get("/sign-on/oidc")
    assert (answer.status_code, b"names another issuer" in answer.content) == (400, True)


def test_a_provider_that_is_away_delays_for_its_deadline_and_no_other_login(
    visitor, settings, monkeypatch, anyone
):
    """A port that takes connections and says nothing."""
    import socket

    monkeypatch.setattr(provider, "DEADLINE_S", 0.2)
    with socket.create_server(("localhost", 0)) as silent:
        settings.OIDC = Provider(
            issuer=f"http://localhost:{silent.getsockname()[1]}", client_id="mlops"
        )
        began = time.monotonic()
        away = visitor.browser.get("/sign-on/oidc")
        assert timedelta(seconds=time.monotonic() - began) < timedelta(seconds=10)
        assert (away.status_code, b"does not answer" in away.content) == (503, True)
        assert int(away["Retry-After"]) > 0
        make_user("ada")
        body = {"username": "ada", "password": PASSWORD}
        assert anyone.post("/api/users/login", body).status_code == 200


# --- Groups --------------------------------------------------------------------------------------


@pytest.fixture
def mapped(org):
    GroupRole.objects.create(group="ml-team", organization=org, role=Role.VIEWER)
    GroupRole.objects.create(group="ml-leads", organization=org, role=Role.DEVELOPER)
    return org


def role_of(visitor, org):
    found = Membership.objects.filter(organization=org, user_id=visitor.user_id)
    return found.values_list("role", flat=True).first()


def test_memberships_follow_the_groups(visitor, mapped):
    visitor.log_in()
    assert role_of(visitor, mapped) == "VIEWER"
    for groups, role in (
        (["ml-leads", "ml-team"], "DEVELOPER"),
        ("ml-team", "VIEWER"),
        (None, "VIEWER"),  # it says nothing of groups
        (["others", 7], None),
        (["ml-team"], "VIEWER"),
        ([], None),
    ):
        visitor.set_claims("1815", **({} if groups is None else {"groups": groups}))
        visitor.log_in()
        assert role_of(visitor, mapped) == role
    assert not Ban.objects.exists()


def test_a_membership_by_a_code_stays_as_it_is(visitor, mapped):
    visitor.log_in()
    Membership.objects.filter(user_id=visitor.user_id).update(from_group=False, role=Role.ADMIN)
    visitor.set_claims("1815", groups=[])
    visitor.log_in()
    assert role_of(visitor, mapped) == "ADMIN"


def test_a_banned_user_stays_banned(visitor, mapped, ada, api):
    visitor.log_in()
    member = f"/api/orgs/{mapped.pk}/members/{visitor.user_id}"
    assert api(ada).delete(member).status_code == 204
    visitor.log_in()
    assert role_of(visitor, mapped) is None


def test_the_last_admin_stays(visitor, mapped, ada):
    GroupRole.objects.update(role=Role.ADMIN)
    visitor.log_in()
    Membership.objects.filter(user=ada).delete()
    visitor.set_claims("1815", groups=[])
    visitor.log_in()
    assert role_of(visitor, mapped) == "ADMIN"
    make_member(mapped, "mia", Role.ADMIN)
    visitor.log_in()
    assert role_of(visitor, mapped) is None
