"""GET, POST /api/orgs/{id}/invitations, one of them, and what joining makes of it"""

from datetime import timedelta
from urllib.parse import unquote
from uuid import uuid4

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts.models import User
from accounts.recovery import mails
from organizations import forget
from organizations.invitations import services
from organizations.models import Ban, Invitation, Membership, Role
from organizations.tasks import request_unsent, send_invitation
from organizations.tests.people import all_at_once, client_for, make_member, make_user

WITH_MAIL = {"role": "DEVELOPER", "email": "grace@example.org"}


def url(organization, *rest):
    return "/".join(["/api/orgs", str(organization.pk), "invitations", *map(str, rest)])


def invited(organization, ada, **body):
    answer = client_for(ada).post(url(organization), {"role": "DEVELOPER", **body})
    assert answer.status_code == 201
    return answer.json()


def join(user, token):
    return client_for(user).post("/api/orgs/join", {"invite_code": token})


@pytest.fixture
def mailing(settings, monkeypatch):
    """A platform that sends mail, with its requests for mail in a list."""
    settings.EMAIL_HOST, settings.PUBLIC_URL = "smtp.example.org", "https://ml.example.org"
    asked: list[str] = []
    monkeypatch.setattr(services, "request_mail", lambda key: asked.append(str(key)))
    return asked


def test_an_admin_invites_and_a_user_joins_by_the_link(api, ada, org, sam):
    made = invited(org, ada, max_uses=2)
    assert made["link"] == f"http://testserver/sign-on/join/{made['token']}"
    assert (made["state"], made["uses_left"], made["created_by"]) == ("open", 2, "ada")
    assert "Pass the link on" in made["note"]
    joined = join(sam, made["token"])
    assert (joined.status_code, joined.json()["role"]) == (200, "DEVELOPER")
    (row,) = api(ada).get(url(org)).json()
    assert (row["uses"], row["uses_left"], row["joined"]) == (1, 1, ["sam"])
    assert "token" not in row
    assert "link" not in row
    assert api(ada).get(url(org, row["id"])).json() == row


def test_the_table_has_no_token(ada, org):
    token = invited(org, ada)["token"]
    kept = Invitation.objects.filter(organization=org).values().get()
    assert token not in str(kept)
    assert len(token) == 48


def test_a_new_user_registers_by_it(anyone, ada, org, settings):
    body = {"username": "grace", "password": "correct-horse-battery"}
    token = invited(org, ada)["token"]
    assert anyone.post("/api/users/register", {**body, "invite_code": token}).status_code == 201
    assert Membership.objects.get(user__username="grace").role == "DEVELOPER"
    again = anyone.post("/api/users/register", {**body, "username": "mia", "invite_code": token})
    assert again.json()["fields"]["invite_code"] == ["This code is used up; ask for a new one."]
    assert not User.objects.filter(username="mia").exists()


@pytest.mark.parametrize(
    ("change", "code", "state"),
    [
        ({"uses": 1}, "used_up_invite_code", "used_up"),
        ({"expires_at": timezone.now() - timedelta(1)}, "expired_invite_code", "expired"),
        ({"revoked_at": timezone.now()}, "invalid_invite_code", "revoked"),
    ],
)
def test_an_ended_one_admits_no_user(api, anyone, ada, org, sam, change, code, state):
    made = invited(org, ada)
    Invitation.objects.filter(pk=made["id"]).update(**change)
    refused = join(sam, made["token"])
    assert (refused.status_code, refused.json()["code"]) == (400, code)
    assert not Membership.objects.filter(organization=org, user=sam).exists()
    assert api(ada).get(url(org, made["id"])).json()["state"] == state
    assert anyone.get(f"/sign-on/join/{made['token']}").status_code == 404


def test_the_page_of_the_link_says_to_what_it_invites(anyone, ada, org):
    page = anyone.get(f"/sign-on/join/{invited(org, ada)['token']}")
    assert page.status_code == 200
    assert "Join Analytical Engines" in page.content.decode()
    assert page["Referrer-Policy"] == "no-referrer"
    assert anyone.get("/sign-on/join/join_" + "x" * 43).status_code == 404
    assert anyone.get("/sign-on/join/short").status_code == 404
    assert anyone.put("/sign-on/join/short").status_code == 405


def test_a_user_who_is_logged_in_joins_by_a_button(ada, org, sam, dev):
    url = f"/sign-on/join/{invited(org, ada)['token']}"
    browser = Client(enforce_csrf_checks=True)
    assert "/console/login/?next=/sign-on/join/" in unquote(browser.get(url).content.decode())
    browser.force_login(sam)
    assert browser.post(url).status_code == 403
    assert not Membership.objects.filter(organization=org, user=sam).exists()
    browser.force_login(dev)
    form = {"csrfmiddlewaretoken": browser.get(url).context["csrf_token"]}
    refused = browser.post(url, form)
    assert (refused.status_code, b"You are a member" in refused.content) == (409, True)
    browser.force_login(sam)
    form = {"csrfmiddlewaretoken": browser.get(url).context["csrf_token"]}
    assert browser.post(url, form)["Location"] == "/console/"
    assert Membership.objects.get(organization=org, user=sam).role == "DEVELOPER"
    assert browser.get(url).status_code == 404


def test_a_button_of_a_stranger_leads_to_the_login(ada, org):
    url = f"/sign-on/join/{invited(org, ada)['token']}"
    assert Client().post(url)["Location"].startswith("/console/login/?next=")
    assert Membership.objects.filter(organization=org).count() == 1


def test_the_page_of_the_link_cannot_be_guessed_quickly(anyone, db, monkeypatch):
    monkeypatch.setitem(anyone.rates(), "login_address", "2/min")
    statuses = [anyone.get(f"/sign-on/join/join_{'x' * 43}").status_code for _ in range(3)]
    assert statuses == [404, 404, 429]


def test_guesses_of_codes_are_throttled(api, sam, monkeypatch):
    monkeypatch.setitem(api(sam).rates(), "join", "2/min")
    statuses = [join(sam, f"join_{'x' * 43}").status_code for _ in range(3)]
    assert statuses == [400, 400, 429]


def test_invitations_are_throttled_per_user(api, ada, org, monkeypatch):
    monkeypatch.setitem(api(ada).rates(), "invite", "1/min")
    client = api(ada)
    assert [client.post(url(org), {"role": "VIEWER"}).status_code for _ in range(2)] == [201, 429]
    assert client.get(url(org)).status_code == 200


def test_a_revoked_one_is_gone_for_good(api, ada, org, sam):
    made = invited(org, ada)
    assert api(ada).delete(url(org, made["id"])).status_code == 204
    assert api(ada).delete(url(org, made["id"])).status_code == 404
    assert join(sam, made["token"]).status_code == 400


def test_a_banned_user_stays_banned(api, ada, org, dev):
    made = invited(org, ada)
    api(ada).delete(f"/api/orgs/{org.pk}/members/{dev.pk}")
    made = invited(org, ada)
    refused = join(dev, made["token"])
    assert (refused.status_code, refused.json()["code"]) == (403, "banned")
    assert Invitation.objects.get(pk=made["id"]).uses == 0


def test_a_removed_member_knows_no_invitation_that_counts(api, ada, org, sam):
    """Neither one that the member has made nor the one by which the member came."""
    grace = make_member(org, "grace", Role.ADMIN)
    of_grace = invited(org, grace, max_uses=5)
    by_link = invited(org, ada, max_uses=5)
    other = invited(org, ada)
    assert join(sam, by_link["token"]).status_code == 200
    for member in (grace, sam):
        assert api(ada).delete(f"/api/orgs/{org.pk}/members/{member.pk}").status_code == 204
    states = {row["id"]: row["state"] for row in api(ada).get(url(org)).json()}
    assert states == {
        of_grace["id"]: "revoked",
        by_link["id"]: "revoked",
        other["id"]: "open",
    }
    assert Ban.objects.filter(organization=org).count() == 2


def test_a_demoted_and_a_leaving_admin_take_none_along(api, org, ada):
    grace, mia = (make_member(org, name, Role.ADMIN) for name in ("grace", "mia"))
    of_both = [invited(org, each)["id"] for each in (grace, mia)]
    api(ada).patch(f"/api/orgs/{org.pk}/members/{grace.pk}", {"role": "VIEWER"})
    api(mia).post(f"/api/orgs/{org.pk}/leave", {})
    assert not Invitation.objects.filter(pk__in=of_both, revoked_at=None).exists()


@pytest.mark.parametrize("person", ["dev", "vera"])
def test_other_roles_get_403(api, ada, org, person, request):
    made, client = invited(org, ada), api(request.getfixturevalue(person))
    assert client.get(url(org)).status_code == 403
    assert client.post(url(org), {"role": "VIEWER"}).status_code == 403
    assert client.delete(url(org, made["id"])).status_code == 403
    assert Invitation.objects.filter(revoked_at=None).count() == 1


def test_a_stranger_gets_the_404_of_an_unknown_organization(api, ada, org, sam, sams_org):
    made, client = invited(org, ada), api(sam)
    nowhere = f"/api/orgs/{uuid4()}/invitations"
    assert client.get(url(org)).content == client.get(nowhere).content
    assert client.post(url(org), {"role": "VIEWER"}).status_code == 404
    assert client.delete(url(org, made["id"])).status_code == 404
    assert client.delete(url(sams_org, made["id"])).status_code == 404
    assert Invitation.objects.filter(revoked_at=None).count() == 1


def test_as_many_as_allowed_are_open(api, ada, org, settings):
    settings.MAX_INVITATIONS = 2
    first = invited(org, ada)
    invited(org, ada)
    refused = api(ada).post(url(org), {"role": "VIEWER"})
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_invitations")
    api(ada).delete(url(org, first["id"]))
    invited(org, ada)


def test_of_users_at_once_no_more_join_than_it_allows(transactional_db, ada, org):
    token = invited(org, ada, max_uses=2)["token"]
    people = [make_user(f"u{number}") for number in range(4)]
    statuses = [
        answer.status_code
        for answer in all_at_once(*[(lambda p=p: join(p, token)) for p in people])
    ]
    assert sorted(statuses) == [200, 200, 400, 400]
    assert Invitation.objects.get().uses == 2


def test_without_mail_the_answer_has_the_link(ada, org, mailing, settings):
    settings.EMAIL_HOST = ""
    made = invited(org, ada, **WITH_MAIL)
    assert made["link"].startswith("https://ml.example.org/sign-on/join/join_")
    assert mailing == []


def test_with_mail_the_mail_alone_has_the_link(
    api, anyone, ada, org, mailing, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        made = invited(org, ada, **WITH_MAIL)
    assert (made["token"], made["link"], made["state"]) == (None, None, "sending")
    assert "grace@example.org" in made["note"]
    assert mailing == [made["id"]]
    send_invitation(made["id"])
    send_invitation(made["id"])  # another worker, or the sweep
    (sent,) = mail.outbox
    assert sent.to == ["grace@example.org"]
    assert sent.subject == "ada invites you to Analytical Engines"
    assert api(ada).get(url(org, made["id"])).json()["state"] == "open"
    token = sent.body.partition("https://ml.example.org/sign-on/join/")[2].split()[0]
    body = {"username": "grace", "password": "correct-horse-battery", "email": "Grace@example.org"}
    assert anyone.post("/api/users/register", {**body, "invite_code": token}).status_code == 201
    assert User.objects.get(username="grace").has_verified_email


def test_a_mail_that_was_not_taken_is_sent_again(
    ada, org, mailing, settings, monkeypatch, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        made = invited(org, ada, **WITH_MAIL)
    settings.EMAIL_BACKEND = "no.such.Backend"
    with pytest.raises(ImportError):
        send_invitation(made["id"])
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    send_invitation(made["id"])
    assert mail.outbox == []  # the first worker may be at it
    Invitation.objects.update(tried_at=timezone.now() - services.AGAIN - timedelta(seconds=1))
    request_unsent()
    assert mailing == [made["id"]] * 2
    send_invitation(made["id"])
    assert len(mail.outbox) == 1


def test_a_slow_mail_server_leaves_other_work_its_threads(ada, org, mailing, monkeypatch):
    made = [
        services.invite(ada, org.pk, Role.VIEWER, email=f"{number}@example.org").invitation.pk
        for number in range(mails.MOST_AT_ONCE + 2)
    ]
    waiting, under_way = [*made], list[str]()

    def slow(*_):
        """While this one is sent, other threads take what waits."""
        under_way.append("one more")
        if waiting:
            send_invitation(str(waiting.pop()))

    monkeypatch.setattr(services, "send_mail", slow)
    send_invitation(str(waiting.pop()))
    assert len(under_way) == mails.MOST_AT_ONCE
    while Invitation.objects.filter(sent_at=None).exists():
        for each in made:
            send_invitation(str(each))
    assert len(under_way) == len(made)


def test_a_mail_that_is_never_taken_is_given_up(api, ada, org, mailing):
    made = invited(org, ada, **WITH_MAIL)
    Invitation.objects.update(created_at=timezone.now() - services.GIVEN_UP)
    request_unsent()
    assert mailing == []
    assert api(ada).get(url(org, made["id"])).json()["state"] == "not_sent"


@pytest.mark.parametrize("change", [{"revoked_at": timezone.now()}, {"expires_at": timezone.now()}])
def test_an_ended_one_is_not_mailed(ada, org, mailing, change):
    made = invited(org, ada, **WITH_MAIL)
    Invitation.objects.update(**change)
    send_invitation(made["id"])
    assert mail.outbox == []


def test_an_address_is_for_one_user(api, ada, org):
    refused = api(ada).post(url(org), {**WITH_MAIL, "max_uses": 2})
    assert set(refused.json()["fields"]) == {"max_uses"}
    assert not Invitation.objects.exists()


def test_old_ones_are_deleted(ada, org):
    old, new = invited(org, ada), invited(org, ada)
    past = timezone.now() - forget.KEPT_FOR - timedelta(hours=1)
    Invitation.objects.filter(pk=old["id"]).update(expires_at=past)
    assert sum(forget.invitations()) == 1
    assert str(Invitation.objects.get().pk) == new["id"]
