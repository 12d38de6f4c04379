"""Wherever an answer has an id, it has a name beside it; and no sentence for people has an id."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from clusters.models import Quota, Sandbox
from deployments.names import Named, references, with_names
from deployments.reasons.codes import SENTENCES, render
from deployments.tests.workloads import make
from mlops_platform.documents import openapi
from organizations.models import Ban, InviteCode, Membership, Role
from scheduler.engine.reasons import Code
from scheduler.models import NextCycle, ReservationRecord, SchedulingCycle, StartForecast

NAMELESS = {
    ("Cycle", "id"),
    ("CycleWithPlan", "id"),
    ("Event", "cycle_id"),
    ("FeedEvent", "cycle_id"),
    ("Explanation", "id"),
    ("Invitation", "id"),
    ("IssuedInvitation", "id"),
    ("Window", "id"),
    ("PlannedWindow", "id"),
    ("Webhook", "id"),
    ("AddedWebhook", "id"),
    ("WebhookDelivery", "id"),
}
"""The ids of what has no name: cycles, invitations, webhooks, the deployment that the path names,
and windows, which their reasons and times name."""
NAMES_BESIDE = {
    "id": ("name", "host", "username"),
    "cluster_id": ("name",),
    "user_id": ("username", "user"),
    "deployment_id": ("name", "deployment"),
}


def is_id(schema: dict[str, Any]) -> bool:
    items = schema.get("items")
    return schema.get("format") == "uuid" or (isinstance(items, dict) and is_id(items))


def answers(document: dict[str, Any]) -> Iterator[tuple[str, str, set[str]]]:
    """Each schema's ids, with all of its properties. A body's schema takes no other properties."""
    for name, schema in document["components"]["schemas"].items():
        properties = schema.get("properties", {})
        if schema.get("additionalProperties") is not False:
            yield from (
                (name, each, set(properties)) for each in properties if is_id(properties[each])
            )


def names_of(column: str) -> tuple[str, ...]:
    stem = column.removesuffix("_id")
    singular = stem.removesuffix("s")
    return (
        *NAMES_BESIDE.get(column, ()),
        stem,
        f"{stem}_name",
        f"{stem}_names",
        f"{singular}_names",
    )


def test_each_id_of_an_answer_has_a_name_beside_it():
    found = list(answers(openapi()))
    assert len(found) > 20
    without = {
        (schema, column)
        for schema, column, properties in found
        if not properties.intersection(set(names_of(column)) - {column})
    }
    assert without == NAMELESS


KEY = "0199d1c5-3f10-7e42-8a6b-9c0d51e27f34"
AN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}")
AT = "2026-03-01T09:00:00+00:00"
AMOUNTS = {"cpu_milli": 4000, "ram_mib": 8192, "gpu": 4}
ANY = {
    "by": KEY,
    "head": KEY,
    "delayed": {"after": KEY, "at": AT},
    "deployments": [KEY],
    "victims": [KEY],
    "count": 1,
    "requested": AMOUNTS,
    "free": AMOUNTS,
    "best_node": AMOUNTS,
    "short": AMOUNTS,
    "replicas": 1,
    "room_for": 0,
    "state": "PAUSED",
    "priority": "HIGH",
    "lost_s": 3,
    "at": AT,
    "since": AT,
    "retry_at": AT,
    "node": "gpu-1",
    "node_id": KEY,
    "ram_mib": 512,
    "missing": [0],
    "within_s": 3,
    "max_runtime_s": 60,
    "exit_code": 1,
    "secret": "token",
    "target": "HF_TOKEN",
    "tries": 2,
    "said": "no",
}
"""Whatever a sentence may say, with ids wherever an id may stand."""
OF_AMOUNTS = {"resource": "gpu", "requested": 4, "total": 2, "quota": 2, "allocated": 1}


@pytest.mark.parametrize("code", sorted({*SENTENCES, *Code}))
def test_no_sentence_has_an_id(code):
    names = {KEY: Named("eval-7", "ada")}
    for details in (ANY, ANY | OF_AMOUNTS):
        message = render(code, details, names)["message"]
        assert not AN_ID.search(message), message
        if any(f"'{each}'" in message for each in ("head", "by")):
            assert "eval-7 of ada" in message


def test_what_refers_to_a_deployment_is_known_at_any_depth():
    assert set(references({"a": {"by": KEY}, "b": {"c": {"victims": [KEY]}}})) == {KEY}
    assert not list(references({"by": "the operator", "by_name": None}))
    named = with_names({"code": "PREEMPTED", "by": KEY}, {KEY: Named("eval-7", "ada")})
    assert (named["by_name"], named["by_owner"]) == ("eval-7", "ada")
    assert with_names(named, {}) == named, "what was named when it was written stays so"


def test_one_that_is_gone_is_called_by_its_short_id():
    message = render("PREEMPTED", {"by": KEY, "priority": "HIGH"})["message"]
    assert message == "Made room for a deployment (0199d1c5-3f10…) (HIGH)."


def test_the_titles_of_operators_pages_have_names(cluster, dev):
    quota = Quota(cluster=cluster, user=dev)
    at = datetime(2026, 3, 1, 9, tzinfo=UTC)
    titles = [quota, Quota(cluster=cluster), Sandbox(cluster=cluster)]
    assert list(map(str, titles)) == [
        "quota of dev in west",
        "quota of all others in west",
        "sandbox of west",
    ]
    people = [
        model(organization=cluster.organization, user=dev, role=Role.VIEWER)
        for model in (Membership, Ban)
    ]
    code = InviteCode(organization=cluster.organization, role=Role.VIEWER)
    rows = [make(cluster, dev)]
    records = [ReservationRecord(deployment=rows[0]), StartForecast(deployment=rows[0])]
    name = cluster.organization.name
    assert list(map(str, [*people, code, *records])) == [
        f"dev in {name} as VIEWER",
        f"ban of dev from {name}",
        f"VIEWER code of {name}",
        "reservation of train",
        "forecast of train",
    ]
    assert str(NextCycle(cluster=cluster, due_at=at)) == "west at 2026-03-01 09:00:00"
    assert str(SchedulingCycle(cluster=cluster, started_at=at)) == "west at 2026-03-01 09:00:00"
