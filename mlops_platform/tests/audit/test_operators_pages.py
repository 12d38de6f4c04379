"""Every form, every action and every deletion of the admin leaves an event with its operator."""

from collections.abc import Mapping
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db import transaction
from django.test import Client, RequestFactory

from accounts.models import ApiKey, Identity, User
from clusters.models import Cluster, Registry, Runtime, Sandbox
from clusters.tests.allocation import make_cluster
from deployments.models import HouseRules, Price, PriorityClass
from mlops_platform.tests.audit.written import events_written
from mlops_platform.tests.equipment.deviations import every_case
from mlops_platform.tests.equipment.world import World
from organizations.models import (
    Ban,
    GroupRole,
    Invitation,
    InviteCode,
    Membership,
    Organization,
    OrganizationEvent,
    Secret,
)
from organizations.tests.people import PASSWORD

NEW: Mapping[str, Mapping[str, Any]] = {
    "auth.group": {"name": "early shift"},
    "accounts.user": {
        "username": "grace",
        "usable_password": "true",
        "password1": PASSWORD,
        "password2": PASSWORD,
    },
    "organizations.membership": {
        "user": "{banned_user_id}",
        "organization": "{organization_id}",
        "role": "VIEWER",
    },
    "organizations.grouprole": {
        "group": "staff",
        "organization": "{organization_id}",
        "role": "VIEWER",
    },
    "clusters.cluster": {
        "name": "east",
        "organization": "{organization_id}",
        "total_cpu_milli": "2",
        "total_ram_mib": "1024",
        "total_gpu": "0",
    },
    "clusters.quota": {"cluster": "{cluster_id}", "user": "{admin_id}", "max_gpu": "1"},
    "clusters.registry": {
        "cluster": "{docker_id}",
        "host": "docker.io",
        "username": "robot",
        "password": "of the robot",
    },
    "clusters.sandbox": {"cluster": "{docker_id}", "pids_limit": "5", "network": "bridge"},
    "clusters.volume": {
        "cluster": "{cluster_id}",
        "name": "scratch",
        "kind": "PVC",
        "source": '{"claim": "scratch"}',
    },
    "deployments.priorityclass": {"name": "NIGHTLY", "value": "-10"},
    "deployments.price": {
        "organization": "{organization_id}",
        "rank": "7",
        "label": "gpu",
        "value": "h100",
        "gpu_hour": "2.5",
    },
}
CHANGED: Mapping[str, Mapping[str, Any]] = {
    "auth.group": {"name": "day shift"},
    "accounts.user": {
        "is_active": "",
        "date_joined_0": "2026-03-01",
        "date_joined_1": "09:00:00",
    },
    "organizations.organization": {"name": "Looms"},
    "organizations.membership": {"role": "DEVELOPER"},
    "organizations.grouprole": {"role": "ADMIN"},
    "clusters.cluster": {"name": "north"},
    "clusters.quota": {"max_gpu": "3"},
    "clusters.registry": {"username": "other", "password": "of the robot"},
    "clusters.sandbox": {"pids_limit": "7"},
    "clusters.volume": {"read_only": "on"},
    "deployments.priorityclass": {"value": "7"},
    "deployments.price": {"core_hour": "0.125"},
}
# An endpoint has to be reached by name: clusters/tests/admin/test_endpoints.py.
ELSEWHERE = {"clusters.endpoint"}
CHANGE_NOTHING = {
    ("clusters.cluster", "resume"): "it is not paused",
    ("clusters.cluster", "schedule_now"): "asks for a cycle, whose decisions have events",
    ("deployments.deployment", "priority_LOW"): "it has that priority",
}


@pytest.fixture
def ids(world: World) -> dict[str, str]:
    """Of the world, and of what only operators see."""
    docker = docker_cluster(world.ids, "docker")
    assert world.users["admin"] is not None
    return {**world.ids, "docker_id": str(docker.pk), "admin_id": str(world.users["admin"].pk)}


@pytest.fixture
def operator(client: Client, world: World) -> Client:
    client.force_login(User.objects.create_superuser("root", password=PASSWORD))
    return client


def docker_cluster(ids: Mapping[str, str], name: str) -> Cluster:
    organization = Organization.objects.get(pk=ids["organization_id"])
    cluster = make_cluster(organization, name=name, total_gpu=0)
    cluster.runtime = Runtime.DOCKER
    cluster.save()
    return cluster


def rows_of(ids: Mapping[str, str]) -> dict[str, Any]:
    """One of each kind."""
    docker = Cluster.objects.get(pk=ids["docker_id"])
    alone = make_cluster(docker.organization, name="alone")
    return {
        "auth.group": Group.objects.create(name="night shift").pk,
        "accounts.user": User.objects.create(username="leaving").pk,
        "accounts.apikey": ApiKey.objects.filter(revoked_at=None).earliest("created_at").pk,
        "organizations.organization": Organization.objects.get(name="Sam's").pk,
        "organizations.membership": Membership.objects.get(user_id=ids["user_id"]).pk,
        "organizations.ban": Ban.objects.get().pk,
        "organizations.invitecode": InviteCode.objects.get(code=ids["invite_code"]).pk,
        "organizations.invitation": Invitation.objects.get(pk=ids["invitation_id"]).pk,
        "organizations.grouprole": GroupRole.objects.create(
            group="crew", organization=docker.organization, role="VIEWER"
        ).pk,
        "accounts.identity": Identity.objects.create(
            user_id=ids["user_id"], issuer="https://id.example.org", subject="1"
        ).pk,
        "organizations.secret": Secret.objects.get(name="of-the-engines").pk,
        "clusters.node": ids["node_id"],
        "clusters.quota": docker.organization.clusters.get(pk=ids["cluster_id"])
        .quotas.exclude(user=None)
        .get()
        .pk,
        "clusters.registry": Registry.objects.create(cluster=docker, host="r.example.org").pk,
        "clusters.sandbox": Sandbox.objects.create(cluster=docker_cluster(ids, "other")).pk,
        "clusters.volume": ids["volume_id"],
        "clusters.cluster": alone.pk,
        "deployments.deployment": ids["deployment_id"],
        "deployments.houserules": HouseRules.objects.create(organization=docker.organization).pk,
        "deployments.sweep": ids["sweep_id"],
        "deployments.price": Price.objects.create(
            organization=docker.organization, rank=6, gpu_hour=1, core_hour=0, gib_hour=0
        ).pk,
        "deployments.priorityclass": PriorityClass.objects.create(name="ODD", value=5).pk,
    }


def path(label: str, rest: str = "") -> str:
    return f"/admin/{label.replace('.', '/')}/{rest}"


def sent(form_page: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a browser sends of the page's forms, with what was entered."""
    forms = [form_page.context["adminform"].form]
    for inline in form_page.context["inline_admin_formsets"]:
        forms += [inline.formset.management_form, *inline.formset.forms]
    data: dict[str, Any] = {}
    for form in forms:
        for field in form:
            value = field.value()
            if value is not None and value is not False:
                data[field.html_name] = field.field.widget.format_value(value) or ""
            if isinstance(value, list):
                data[field.html_name] = value
    entered = {name: value for name, value in given.items() if value != ""}
    data = {name: value for name, value in data.items() if given.get(name, "x") != ""}
    return {**data, **entered}


def pages() -> Any:
    request = RequestFactory().get("/admin/")
    request.user = User.objects.get(username="root")
    for model, page in admin.site._registry.items():
        yield model._meta.label_lower, page, request


def assert_noted(written: list[Any]) -> None:
    own = [each for each in written if each.actor_kind == "operator"]
    assert own, "no event"
    assert all(each.request_id for each in own)
    assert {getattr(each, "actor_name", None) for each in own} <= {"root", None}
    shown = repr([vars(each) for each in written])
    assert "of the robot" not in shown
    assert PASSWORD not in shown


def test_every_form_leaves_an_event(operator: Client, ids: dict[str, str]) -> None:
    rows = rows_of(ids)
    with every_case() as case:
        for label, page, request in pages():
            if label in ELSEWHERE:
                continue
            adds = page.has_add_permission(request)
            changes = label in rows and _has_form(page, request, rows[label])
            for what, wanted, address in (
                (NEW, adds, path(label, "add/")),
                (CHANGED, changes, path(label, f"{rows.get(label)}/change/")),
            ):
                with case(f"{label} {address}"), transaction.atomic():
                    assert (label in what) == wanted, "the table needs a row, or one less"
                    if wanted:
                        given = {
                            k: v.format(**ids) if "{" in v and k != "source" else v
                            for k, v in what[label].items()
                        }
                        data = sent(operator.get(address), given)
                        with events_written() as written:
                            answer = operator.post(address, data)
                        assert answer.status_code == 302, _faults(answer)
                        assert_noted(written)
                    transaction.set_rollback(True)


def _has_form(page: Any, request: Any, pk: Any) -> bool:
    """Whether its page has anything to enter."""
    row = page.get_queryset(request).get(pk=pk)
    if not page.has_change_permission(request, row):
        return False
    return bool(page.get_form(request, row, change=True).base_fields)


def _faults(answer: Any) -> Any:
    return answer.context and answer.context["adminform"].form.errors


def test_every_deletion_leaves_an_event(operator: Client, ids: dict[str, str]) -> None:
    rows = rows_of(ids)
    with every_case() as case:
        for label, page, request in pages():
            if label not in rows:
                continue
            row = page.model._base_manager.get(pk=rows[label])
            if not page.has_delete_permission(request, row):
                continue
            with case(f"{label} alone"), transaction.atomic():
                with events_written() as written:
                    deleted = operator.post(path(label, f"{row.pk}/delete/"), {"post": "yes"})
                assert deleted.status_code == 302
                assert not page.model._default_manager.filter(pk=row.pk).exists() or label in KEPT
                assert_noted(written)
                transaction.set_rollback(True)
            if "delete_selected" not in page.get_actions(request):
                continue
            with case(f"{label} among others"), transaction.atomic():
                chosen = {"action": "delete_selected", "_selected_action": [str(row.pk)]}
                with events_written() as written:
                    operator.post(path(label), {**chosen, "post": "yes"})
                assert not page.model._default_manager.filter(pk=row.pk).exists()
                assert_noted(written)
                transaction.set_rollback(True)


KEPT = {"organizations.organization"}


def test_every_action_leaves_an_event(operator: Client, ids: dict[str, str]) -> None:
    rows = {**rows_of(ids), "clusters.cluster": ids["cluster_id"]}
    with every_case() as case:
        for label, page, request in pages():
            for action in page.get_actions(request):
                if action == "delete_selected" or label not in rows:
                    continue
                with case(f"{label} {action}"), transaction.atomic():
                    chosen = {"action": action, "_selected_action": [str(rows[label])]}
                    with events_written() as written:
                        operator.post(path(label), {**chosen, "index": "0", "confirmed": "yes"})
                    if (label, action) in CHANGE_NOTHING:
                        assert not written, "it needs no exception"
                    else:
                        assert_noted(written)
                    transaction.set_rollback(True)


def test_no_page_writes_or_deletes_an_event(operator: Client, ids: dict[str, str]) -> None:
    page = admin.site._registry[OrganizationEvent]
    request = RequestFactory().get("/admin/")
    request.user = User.objects.get(username="root")
    event = OrganizationEvent.objects.earliest("pk")
    assert not page.has_add_permission(request)
    assert not page.has_change_permission(request, event)
    assert not page.has_delete_permission(request, event)
    shown = operator.get(path("organizations.organizationevent", f"{event.pk}/change/"))
    assert "Engines" in shown.content.decode()
    operator.post(path("organizations.organizationevent", f"{event.pk}/delete/"), {"post": "yes"})
    assert OrganizationEvent.objects.filter(pk=event.pk).exists()
