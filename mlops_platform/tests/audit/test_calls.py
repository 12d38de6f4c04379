"""Every call that writes leaves an event with its caller and its X-Request-ID."""

from typing import Any

import pytest

from accounts.models import User
from clusters.models import Cluster, Runtime
from mlops_platform.tests.audit.written import events_written
from mlops_platform.tests.equipment.deviations import every_case
from mlops_platform.tests.equipment.world import PEOPLE, World, undone
from mlops_platform.tests.input.matrix import MATRIX, Row
from organizations.models import Organization, OrganizationEvent
from organizations.services import join

OF_A_PERSON = "a person's own, of no organization"
UNRECORDED = {
    "POST /api/users/register": "the new user is in no organization; with a code there is an event",
    "POST /api/users/login": "a login changes nothing of an organization",
    "POST /api/users/refresh": "as a login",
    "POST /api/users/logout": "as a login",
    "POST /api/auth/device": "a program asks to be let in",
    "POST /api/auth/device/token": "as a login",
    "PUT /api/users/me/secrets/{own_secret_name}": OF_A_PERSON,
    "DELETE /api/users/me/secrets/{own_secret_name}": OF_A_PERSON,
}
BY_LINK = {"POST /api/auth/password/reset/confirm", "POST /api/auth/email/verify/confirm"}
"""By the user of the link, whoever's token is sent with it."""
WRITING = [row for row in MATRIX if row.method != "GET" and row.writes]


def caller_of(row: Row) -> str | None:
    """The person with the highest role whom the call lets in."""
    for person, status in reversed([*zip(PEOPLE, row.answers, strict=True)]):
        if status < 400:
            return person
    return None


def call(world: World, person: str, row: Row) -> Any:
    send = getattr(world.client(person), row.method.lower())
    path = row.path.format(**world.ids) + row.query.format(**world.ids)
    return send(path, row.filled_body(world.ids), headers={"X-Request-ID": "walk-1"})


def test_every_call_that_writes_leaves_an_event(world: World) -> None:
    with every_case() as case:
        for row in WRITING:
            person = caller_of(row)
            if person is None:
                continue
            with case(f"{row.call}{row.query}"), undone(), events_written() as written:
                assert call(world, person, row).status_code < 400
            with case(f"{row.call}{row.query} as {person}"):
                if row.call in UNRECORDED:
                    assert not written, "it needs no exception"
                    continue
                user = world.users[person]
                assert isinstance(user, User)
                own = [each for each in written if each.request_id == "walk-1"]
                assert own, "no event"
                if row.call in BY_LINK:
                    assert {str(each.actor_id) for each in own} == {own[0].target_id}
                    continue
                assert {each.actor_id for each in own} <= {user.pk, None}
                assert user.pk in {each.actor_id for each in own}
                assert b"of the robot" not in repr([vars(each) for each in written]).encode()
                assert "zebra" not in repr([vars(each) for each in written]), "a password"


def test_every_exception_is_a_call_that_writes() -> None:
    assert set(UNRECORDED) <= {row.call for row in WRITING}


def test_calls_that_this_world_refuses_are_covered_below() -> None:
    refused = {row.call for row in WRITING if caller_of(row) is None}
    let_in = {row.call for row in WRITING if caller_of(row) is not None}
    assert refused - let_in == {
        "POST /api/clusters/{cluster_id}/registries",
        "DELETE /api/sweeps/{sweep_id}",
        "POST /api/auth/password/reset",  # these two send mail, and write nothing
        "POST /api/auth/email/verify",
    }


def test_credentials_of_a_registry_leave_an_event_without_the_password(world: World) -> None:
    Cluster.objects.filter(pk=world.ids["cluster_id"]).update(runtime=Runtime.DOCKER)
    row = next(each for each in WRITING if each.path.endswith("/registries"))
    for type_ in ("REGISTRY_CREATED", "REGISTRY_CHANGED"):
        assert call(world, "admin", row).status_code == 201
        event = OrganizationEvent.objects.latest("pk")
        assert (event.type, event.target_name) == (type_, "docker.io")
        assert event.after == {"username": "robot", "password": "replaced"}


def test_a_deleted_sweep_leaves_an_event(world: World) -> None:
    row = next(each for each in WRITING if each.call == "DELETE /api/sweeps/{sweep_id}")
    world.client("admin").post(f"/api/sweeps/{world.ids['sweep_id']}/stop", {})
    assert call(world, "admin", row).status_code == 204
    event = OrganizationEvent.objects.latest("pk")
    assert (event.type, event.target_id) == ("SWEEP_DELETED", world.ids["sweep_id"])


def test_a_registration_with_a_code_leaves_an_event(world: World, django_user_model: Any) -> None:
    organization = Organization.objects.get(pk=world.ids["organization_id"])
    user = django_user_model.objects.create_user("grace")
    join(user, world.ids["invite_code"])
    event = OrganizationEvent.objects.latest("pk")
    assert (event.organization_id, event.type) == (organization.pk, "MEMBER_JOINED")
    assert (event.actor_id, event.target_name, event.after) == (
        user.pk,
        "grace",
        {"role": "DEVELOPER"},
    )


@pytest.mark.parametrize("person", ["viewer", "developer"])
def test_members_read_nothing_of_members_keys_and_secrets(world: World, person: str) -> None:
    path = f"/api/orgs/{world.ids['organization_id']}/events"
    everything = world.client("admin").get(path, {"limit": 1000}).json()
    seen = world.client(person).get(path, {"limit": 1000}).json()
    hidden = {"organization", "member", "invite_code", "invitation", "key", "secret", "registry"}
    hidden |= {"webhook"}
    assert hidden - {"registry", "invitation"} <= {each["target"]["type"] for each in everything}
    assert seen == [each for each in everything if each["target"]["type"] not in hidden]
    assert {"node", "quota", "deployment"} <= {each["target"]["type"] for each in seen}
