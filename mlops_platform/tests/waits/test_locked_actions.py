"""An operator's action on locked rows is refused at once, as a call of the API is."""

from collections.abc import Mapping

import pytest
from django.contrib import admin
from django.test import Client, RequestFactory

from accounts.models import ApiKey, User
from mlops_platform.tests.equipment.world import World, fingerprint
from mlops_platform.tests.waits.organization_lock import (
    UPDATED,
    organization_locked,
    waits_in_vain,
)
from organizations.models import InviteCode, Membership
from organizations.tests.people import PASSWORD

pytestmark = pytest.mark.usefixtures("short_wait")

# An action of a list, and which row it is done to.
ACTIONS = [
    ("clusters/cluster", "pause", "cluster_id"),
    ("clusters/cluster", "drain", "cluster_id"),
    ("clusters/node", "cordon", "node_id"),
    ("clusters/node", "uncordon", "node_id"),
    ("clusters/node", "drain", "node_id"),
    ("clusters/node", "drain_when_finished", "node_id"),
    ("clusters/maintenancewindow", "call_off", "window_id"),
    ("deployments/sweep", "stop", "sweep_id"),
    ("accounts/apikey", "revoke", "api_key_id"),
    ("deployments/deployment", "stop", "deployment_id"),
    ("deployments/deployment", "priority_HIGH", "deployment_id"),
    ("organizations/invitecode", "rotate", "code_id"),
    ("organizations/invitation", "revoke", "invitation_id"),
]
# These change no row of an organization, or nothing of these rows.
WITHOUT_LOCKS = {
    ("clusters/cluster", "schedule_now"),
    ("clusters/cluster", "resume"),
    ("accounts/user", "reset_second_factor"),
    ("deployments/deployment", "priority_LOW"),
    ("deployments/deployment", "submit_again"),
}
DELETIONS = [
    ("clusters/registry", "registry_id"),
    ("organizations/membership", "membership_id"),
    ("accounts/user", "user_id"),
]


@pytest.fixture
def operator(client: Client, committed_world: World) -> Client:
    client.force_login(User.objects.create_superuser("root", password=PASSWORD))
    client.raise_request_exception = False
    return client


def id_of(world: World, name: str) -> object:
    if name == "code_id":
        return InviteCode.objects.get(code=world.ids["invite_code"]).pk
    if name == "membership_id":
        return Membership.objects.get(user_id=world.ids["user_id"]).pk
    if name == "api_key_id":
        return ApiKey.objects.filter(name=world.ids["own_key_name"]).earliest("created_at").pk
    return world.ids[name]


def assert_refused(operator: Client, world: World, path: str, given: Mapping[str, object]) -> None:
    before = fingerprint()
    with organization_locked(world, UPDATED), waits_in_vain() as waits:
        answer = operator.post(path, given)
    assert answer.status_code == 503
    assert answer.json()["code"] == "busy"
    assert int(answer["Retry-After"]) > 0
    assert len(waits) == 1, "it waits once"
    assert fingerprint() == before


def test_every_action_is_in_the_table(db: None) -> None:
    request = RequestFactory().get("/admin/")
    request.user = User.objects.create_superuser("root", password=PASSWORD)
    found = {
        (f"{model._meta.app_label}/{model._meta.model_name}", name)
        for model, page in admin.site._registry.items()
        for name in page.get_actions(request)
        if name != "delete_selected"
    }
    assert found == {action[:2] for action in ACTIONS} | WITHOUT_LOCKS


@pytest.mark.parametrize(("page", "action", "which"), ACTIONS)
def test_an_action_on_locked_rows_is_refused_and_changes_nothing(
    operator: Client, committed_world: World, page: str, action: str, which: str
) -> None:
    chosen = [str(id_of(committed_world, which))]
    given = {"action": action, "index": "0", "_selected_action": chosen, "confirmed": "yes"}
    assert_refused(operator, committed_world, f"/admin/{page}/", given)


@pytest.mark.parametrize(("page", "which"), DELETIONS)
def test_a_deletion_of_locked_rows_is_refused_and_changes_nothing(
    operator: Client, committed_world: World, page: str, which: str
) -> None:
    path = f"/admin/{page}/{id_of(committed_world, which)}/delete/"
    assert_refused(operator, committed_world, path, {"post": "yes"})
