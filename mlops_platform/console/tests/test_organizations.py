"""The pages of organizations: members, invitations and keys, and which member may change them."""

import html
import re
from uuid import UUID

import pytest
from django.test import Client

from clusters.models import Cluster, Quota
from deployments.models import Deployment
from mlops_platform.console.tests.test_submit import browser, text_of
from mlops_platform.tests.equipment.world import World, fingerprint
from organizations.models import Invitation, Membership, Organization, Role

ALL = "/console/organizations/"


def path(world: World) -> str:
    return f"{ALL}{world.ids['organization_id']}/"


def press(world: World, client: Client, **form: str) -> tuple[int, str]:
    answer = client.post(path(world), form, follow=True)
    return answer.status_code, text_of(answer)


def test_only_an_admin_sees_invitations_and_keys(world: World) -> None:
    for person in ("viewer", "developer"):
        text = text_of(browser(world, person).get(path(world)))
        assert ">Members" in text
        assert ">Invitations" not in text
        assert ">API keys" not in text
        assert 'name="role"' not in text
    text = text_of(browser(world, "admin").get(path(world)))
    assert all(each in text for each in (">Invitations", ">API keys", 'name="role"'))
    for code in world.secrets:
        assert code not in text


BUTTONS = {
    "role": {"do": "role", "role": "ADMIN"},
    "remove": {"do": "remove"},
    "invite": {"do": "invite", "role": "DEVELOPER"},
    "key": {"do": "create_key", "name": "nightly", "role": "VIEWER"},
    "revoke": {"do": "revoke_invitation"},
}


def with_ids(world: World, form: dict[str, str]) -> dict[str, str]:
    viewer, invitation = world.users["viewer"], Invitation.objects.first()
    assert viewer is not None
    assert invitation is not None
    return {**form, "member": str(viewer.pk), "invitation": str(invitation.pk)}


@pytest.mark.parametrize("button", BUTTONS)
@pytest.mark.parametrize(("person", "status"), [("developer", 403), ("stranger", 404)])
def test_others_change_nothing(world: World, button: str, person: str, status: int) -> None:
    client, form = browser(world, person), with_ids(world, BUTTONS[button])
    before = fingerprint()
    assert press(world, client, **form)[0] == status
    assert fingerprint() == before


def test_an_admin_gives_a_role_and_removes_a_member(world: World) -> None:
    form = with_ids(world, BUTTONS["role"])
    members = Membership.objects.filter(user_id=UUID(form["member"]))
    assert "viewer is ADMIN." in press(world, browser(world, "admin"), **form)[1]
    assert [each.role for each in members] == [Role.ADMIN]
    assert (
        "The member is removed"
        in press(world, browser(world, "admin"), **{**form, "do": "remove"})[1]
    )
    assert not members.all().exists()


def test_a_link_is_shown_once_and_lets_another_user_in(world: World) -> None:
    status, text = press(
        world, browser(world, "admin"), do="invite", role="VIEWER", days="1", max_uses="2"
    )
    found = re.search(r"<code>(http[^<]+)</code>", text)
    assert found is not None, text
    assert status == 200
    assert found[1] not in text_of(browser(world, "admin").get(path(world)))
    joined = browser(world, "stranger").post(ALL, {"code": found[1]})
    assert joined["Location"] == path(world)
    assert (
        Membership.objects.get(
            user=world.users["stranger"], organization_id=UUID(world.ids["organization_id"])
        ).role
        == Role.VIEWER
    )


def test_a_key_is_shown_once_and_revoked(world: World) -> None:
    text = press(world, browser(world, "admin"), **BUTTONS["key"])[1]
    found = re.search(r"<code>(mlops_[^<]+)</code>", text)
    assert found is not None, text
    bearer = {"Authorization": f"Bearer {found[1]}"}
    assert Client().get("/api/clusters", headers=bearer).status_code == 200
    assert found[1] not in text_of(browser(world, "admin").get(path(world)))
    assert (
        "The key is revoked."
        in press(world, browser(world, "admin"), do="revoke_key", name="nightly")[1]
    )
    assert Client().get("/api/clusters", headers=bearer).status_code == 401


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"do": "invite", "role": "KING"}, "role: "),
        ({"do": "invite", "role": "VIEWER", "max_uses": "many"}, "max_uses: "),
        ({"do": "invite", "role": "VIEWER", "days": "9999"}, "expires_in_s: "),
        ({"do": "invite", "role": "VIEWER", "email": "x"}, "email: "),
        ({"do": "create_key", "role": "VIEWER", "name": ""}, "name: "),
        ({"do": "leave"}, "ADMIN"),
    ],
)
def test_a_field_at_fault_is_named_and_nothing_changes(
    world: World, form: dict[str, str], said: str
) -> None:
    client = browser(world, "admin")
    before = fingerprint()
    status, text = press(world, client, **form)
    assert (status, said in re.sub(r"<[^>]+>", "", text)) == (200, True), text
    assert fingerprint() == before


def test_a_user_founds_an_organization_and_leaves_another(world: World) -> None:
    client = browser(world, "viewer")
    answer = client.post(ALL, {"name": "Nightjar"})
    founded = Organization.objects.get(name="Nightjar")
    assert answer["Location"] == f"{ALL}{founded.pk}/"
    assert "You have left the organization." in press(world, client, do="leave")[1]
    text = html.unescape(client.get(ALL).content.decode())
    assert "Nightjar" in text
    assert path(world) not in text
    again = text_of(client.post(ALL, {"name": "nightjar"}))
    assert "name" in again
    assert Organization.objects.filter(name__iexact="nightjar").count() == 1


def test_each_quota_says_what_of_it_is_allocated(world: World) -> None:
    cluster = Cluster.objects.get(pk=world.ids["cluster_id"])
    Quota.objects.filter(cluster=cluster).delete()
    developer = world.users["developer"]
    Quota.objects.create(cluster=cluster, user=developer, max_gpu=5, max_cpu_milli=9500)
    Quota.objects.create(cluster=cluster, max_ram_mib=2048)
    text = " ".join(text_of(browser(world, "viewer").get(path(world))).split())
    text = text.partition("<h2>Quotas")[2]
    row = re.search(r'<th scope="row">developer</th>.*?</tr>', text)
    assert row is not None
    running = Deployment.objects.get(pk=world.ids["deployment_id"])
    assert running.owner == developer
    assert f">GPUs: {running.gpu} of 5, cores: " in row[0]
    assert " of 9.5<" in row[0]
    default = re.search(r'<th scope="row">each other member</th>.*?</tr>', text)
    assert default is not None
    assert ">RAM: 2 GiB<" in default[0]
