"""The operators' pages of deployments."""

import pytest
from pytest_django.asserts import assertNotContains
from uuid_utils.compat import uuid7

from clusters.tests.allocation import make_cluster
from deployments import redis_queues
from deployments.lifecycle.timeline import record, record_all
from deployments.models import Deployment, EventType, PriorityClass, Status, WaitReason
from deployments.tests.admin.pages import LIST, act, names_on, page
from deployments.tests.workloads import make


def explain(deployment, code="INSUFFICIENT_CAPACITY"):
    details = {
        "short": {"gpu": 2},
        "requested": {"cpu_milli": 1000, "ram_mib": 512, "gpu": 3},
        "free": {"cpu_milli": 4000, "ram_mib": 4096, "gpu": 1},
    }
    WaitReason.objects.create(
        cluster=deployment.cluster,
        scheduling_key=deployment.scheduling_key,
        code=code,
        details=details,
    )


# --- The list ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 25])
def test_the_list_costs_the_same_for_few_and_many(
    operator, cluster, dev, django_assert_num_queries, size
):
    rows = [make(cluster, dev, gpu=number + 1) for number in range(size)]
    explain(rows[0])
    # session, operator, classes to filter by, classes to act with, count, rows, reasons, derived
    # reasons
    with django_assert_num_queries(8):
        answer = operator.get(LIST)
    assert len(names_on(answer)) == size


def test_a_row_of_the_list_has_reason_and_position(operator, cluster, dev):
    first, second = make(cluster, dev), make(cluster, dev, name="second", gpu=3, replicas=2)
    redis_queues.enter(cluster.pk, [("LOW", first.pk, 0), ("LOW", second.pk, 0)])
    explain(second)
    text = operator.get(LIST, {"q": "second"}).content.decode()
    assert "Needs 2 more GPUs: asks for 3, 1 is free." in text
    assert "INSUFFICIENT_CAPACITY" in text
    assert "no. 2 in line" in text
    assert "2 replicas of 1 core, 512 MiB, 3 GPUs" in text
    for word in ("QUEUED", "Analytical Engines", "west", "dev", "LOW", "train:1.2"):
        assert word in text


@pytest.mark.parametrize(
    ("term", "found"),
    [("alpha", ["alpha"]), ("nginx", ["beta"]), ("SAM", ["beta"]), ("no such", [])],
)
def test_search_finds_name_image_and_owner(operator, cluster, dev, sam, term, found):
    make(cluster, dev, name="alpha")
    make(cluster, sam, name="beta", image="nginx:1")
    assert names_on(operator.get(LIST, {"q": term})) == found


def test_search_finds_an_id_and_the_beginning_of_one(operator, cluster, dev):
    row = make(cluster, dev, name="alpha")
    Deployment.objects.filter(pk=make(cluster, dev).pk).update(name="other")
    assert names_on(operator.get(LIST, {"q": f" {row.pk} "})) == ["alpha"]
    assert "alpha" in names_on(operator.get(LIST, {"q": str(row.pk)[:20]}))


def test_search_finds_a_label_with_its_value(operator, cluster, dev):
    make(cluster, dev, name="alpha", labels={"team": "vision"})
    make(cluster, dev, name="beta", labels={"team": "audio"})
    for term, found in (("team=vision", ["alpha"]), ("team=", []), ("tea m=vision", [])):
        assert names_on(operator.get(LIST, {"q": term})) == found


def test_the_page_shows_labels_and_what_it_runs_again(operator, cluster, dev):
    first = make(cluster, dev, name="the first one")
    row = make(cluster, dev, labels={"team": "vision"}, rerun_of_id=first.pk)
    text = operator.get(page(row)).content.decode()
    assert "team=vision" in text
    assert "the first one" in text
    Deployment.objects.filter(pk=row.pk).update(rerun_of_id=uuid7())  # which is gone
    assert operator.get(page(row)).status_code == 200


def test_filters_narrow_the_list(operator, cluster, dev, sam, sams_org):
    abroad = make_cluster(sams_org, name="abroad")
    make(cluster, dev, name="low")
    make(cluster, dev, Status.RUNNING, name="high", priority="HIGH", kind="service")
    make(abroad, sam, Status.STOPPED, name="sams")
    high = PriorityClass.objects.get(name="HIGH")
    for parameters, found in (
        ({"status__exact": "RUNNING"}, ["high"]),
        ({"status__in": "RUNNING,STOPPED"}, ["sams", "high"]),
        ({"priority_class__id__exact": high.pk}, ["high"]),
        ({"kind__exact": "job"}, ["sams", "low"]),
        ({"cluster__id__exact": abroad.pk}, ["sams"]),
        ({"cluster__organization__id__exact": cluster.organization_id}, ["high", "low"]),
        ({"within": "hour"}, ["sams", "high", "low"]),
        ({"within": "for ever"}, ["sams", "high", "low"]),
    ):
        answer = operator.get(LIST, parameters)
        assert names_on(answer) == found, parameters


def test_the_age_filter_reads_the_time_in_the_id(operator, cluster, dev, monkeypatch):
    from datetime import timedelta

    from django.utils import timezone

    make(cluster, dev)
    later = timezone.now() + timedelta(hours=2)
    monkeypatch.setattr("mlops_platform.admin.filters.timezone.now", lambda: later)
    assert names_on(operator.get(LIST, {"within": "hour"})) == []
    assert names_on(operator.get(LIST, {"within": "day"})) == ["train"]


@pytest.mark.parametrize("path", ["/admin/autocomplete/"])
def test_the_filters_look_clusters_up(operator, cluster, path):
    asked = {
        "app_label": "deployments",
        "model_name": "deployment",
        "field_name": "cluster",
        "term": "wes",
    }
    assert operator.get(path, asked).json()["results"] == [{"id": str(cluster.pk), "text": "west"}]


# --- The page ----------------------------------------------------------------------------------


def test_the_page_shows_everything_but_the_values_of_env(operator, cluster, dev):
    row = make(
        cluster,
        dev,
        Status.RUNNING,
        env={"API_KEY": "hunter2", "SEED": "77123"},
        args=["--epochs", "ten <times>"],
        image="registry.example.com/team/train:1.2",
    )
    record(row.pk, EventType.SUBMITTED, at=row.created_at, actor=dev)
    change = {"priority": {"from": "HIGH", "to": "LOW"}}
    record(row.pk, EventType.CHANGED, at=row.created_at, actor=dev, details=change)
    answer = operator.get(page(row))
    text = answer.content.decode()
    for word in (
        "API_KEY",
        "SEED",
        "registry.example.com/team/train:1.2",
        "ten &lt;times&gt;",
        "1 in the pool",
        "SUBMITTED",
        "HIGH → LOW",
        str(row.pk),
    ):
        assert word in text
    for path in (page(row), LIST):
        assertNotContains(operator.get(path), "hunter2")
        assertNotContains(operator.get(path), "77123")


@pytest.mark.parametrize("events", [1, 25])
def test_the_page_costs_the_same_for_a_short_and_a_long_life(
    operator, cluster, dev, django_assert_num_queries, events
):
    row = make(cluster, dev)
    for _ in range(events):
        record(row.pk, EventType.CHECKPOINTED, at=row.created_at, actor=dev)
    operator.get(page(row))  # looks the content type up, once in a process
    # session, operator, the row, reason, derived reason, classes, dependencies,
    # timeline
    with django_assert_num_queries(8):
        text = operator.get(page(row)).content.decode()
    assert text.count("CHECKPOINTED") == events


def test_the_page_shows_what_the_containers_get(operator, cluster, dev):
    row = make(
        cluster,
        dev,
        Status.RUNNING,
        image_digest="sha256:0ddba11",
        volumes=[
            {"name": "sets", "path": "/data", "read_only": True, "sub_path": "images"},
            {"name": "out", "path": "/out", "read_only": False, "sub_path": ""},
        ],
        secrets=[
            {"scope": "organization", "name": "hf", "env": "HF_TOKEN"},
            {"scope": "person", "name": "of-dev-alone", "file": "git/key"},
        ],
        container={"ephemeral_mib": 512, "pull_policy": "always"},
    )
    text = operator.get(page(row)).content.decode()
    for words in (
        "sha256:0ddba11",
        "sets/images:/data:ro",
        "out:/out<",
        "HF_TOKEN=hf",
        "/run/secrets/git/key=(of the owner)",
        "ephemeral_mib=512",
        "pull_policy=always",
    ):
        assert words in text, words
    assert "of-dev-alone" not in text


def test_a_very_long_timeline_shows_its_end(operator, cluster, dev):
    row = make(cluster, dev)
    record(row.pk, EventType.SUBMITTED, at=row.created_at)
    record_all([(row.pk, {})] * 98, EventType.CHECKPOINTED, at=row.created_at)
    record(row.pk, EventType.STARTED, at=row.created_at)
    record(row.pk, EventType.PREEMPTED, at=row.created_at)
    text = operator.get(page(row)).content.decode()
    assert "SUBMITTED" not in text
    assert text.index("STARTED") < text.index("PREEMPTED")
    assert "The latest 100 events." in text


@pytest.mark.parametrize(
    "lookup", ["env__SEED", "env__SEED__startswith", "env__has_key", "idempotency_key", "args"]
)
def test_env_cannot_be_guessed_by_filtering(operator, cluster, dev, lookup):
    make(cluster, dev, env={"SEED": "1"})
    assert operator.get(LIST, {lookup: "1"}).status_code == 400


def test_nothing_is_added_changed_or_deleted_here(operator, cluster, dev):
    row = make(cluster, dev)
    assert operator.get(f"{LIST}add/").status_code == 403
    assert operator.post(page(row), {"name": "other", "status": "RUNNING"}).status_code == 403
    assert operator.post(f"{LIST}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    act(operator, "delete_selected", row, post="yes")
    row.refresh_from_db()
    assert (row.name, row.status) == ("train", Status.QUEUED)


def test_the_page_shows_the_rules_of_retries(operator, cluster, dev):
    rules = {"on": ["75", "OUT_OF_MEMORY"], "ram_factor_milli": 1500, "ram_limit_mib": 4096}
    row = make(cluster, dev, Status.RUNNING, retry={**rules, "not_on": ["2"]}, on_preempt="fail")
    text = operator.get(page(row)).content.decode()
    for words in (
        "retry_on=75,OUT_OF_MEMORY",
        "fail_on=2",
        "retry_ram_factor=1.5",
        "retry_ram_limit=4096",
        ">Fail<",
    ):
        assert words in text


def test_the_list_is_filtered_by_a_label(operator, cluster, dev, ada):
    make(cluster, dev, name="a", labels={"team": "vision"})
    make(cluster, dev, Status.FAILED, name="b", labels={"team": "audio", "x.org/sweep": "lr"})
    make(cluster, ada, name="c", labels={"team": "vision"})
    make(cluster, ada, name="d")
    for given, found in (
        ({"label": "team=vision"}, ["c", "a"]),
        ({"label": " team=vision "}, ["c", "a"]),
        ({"label": "team"}, ["c", "b", "a"]),
        ({"label": "x.org/sweep=lr"}, ["b"]),
        ({"label": "team=vision", "o": "-8"}, ["c", "a"]),
        ({"label": "team=vision", "q": "ada"}, ["c"]),
        ({"label": "team", "status__exact": "FAILED", "within": "hour"}, ["b"]),
        ({"label": "team=vis"}, []),
        ({"label": "no label!"}, []),
        ({"label": ""}, ["d", "c", "b", "a"]),
    ):
        answer = operator.get(LIST, given)
        assert names_on(answer) == found, given
        assert 'name="label"' in answer.content.decode()
    assert (
        'value="team=vis&quot;&gt;"' in operator.get(LIST, {"label": 'team=vis">'}).content.decode()
    )
