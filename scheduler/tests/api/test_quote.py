"""POST /api/deployments/quote, and a submit with its token: owner, teammate, stranger."""

import time
from typing import Any

import pytest

from accounts.models import User
from clusters.models import Cluster
from deployments.models import Deployment, DeploymentEvent, Status
from deployments.tests.interleaving import after_statement
from organizations.tests.people import all_at_once, client_for
from scheduler import audit
from scheduler.answers import quotes
from scheduler.models import ReservationRecord, SchedulingCycle
from scheduler.tests.conftest import Submit, run_cycle

pytestmark = pytest.mark.django_db
QUOTE, SUBMIT = "/api/deployments/quote", "/api/deployments"


def body(cluster: Cluster, gpu: int = 2, priority: str = "LOW", **more: Any) -> dict[str, Any]:
    return {
        "cluster_id": str(cluster.pk),
        "image": "busybox",
        "required_cpu": 1,
        "required_ram": 1024,
        "required_gpu": gpu,
        "priority": priority,
        **more,
    }


def fingerprint() -> tuple[int, int, int, list[tuple[Any, ...]]]:
    rows = Deployment.objects.order_by("pk").values_list("pk", "status", "preemption_count")
    counts = (DeploymentEvent.objects.count(), SchedulingCycle.objects.count())
    return (*counts, Deployment.objects.count(), list(rows))


def quoted(user: User, given: dict[str, Any]) -> dict[str, Any]:
    answer = client_for(user).post(QUOTE, given)
    assert answer.status_code == 200, answer.json()
    found: dict[str, Any] = answer.json()
    return found


def test_a_quote_writes_nothing(cluster: Cluster, submit: Submit, dev: User) -> None:
    submit("LOW", gpu=8)
    run_cycle(cluster)
    before = fingerprint()
    quoted(dev, body(cluster, priority="HIGH"))
    assert fingerprint() == before


def test_what_is_quoted_to_evict_does_so_while_another_waits_for_the_same_capacity(
    cluster: Cluster, submit: Submit, dev: User
) -> None:
    """Only with the submit waits a deployment that may evict, so that more of the queue matters."""
    victim = submit("LOW", gpu=8)
    run_cycle(cluster)
    other = submit("LOW", gpu=4)
    run_cycle(cluster)
    given = body(cluster, gpu=4, priority="HIGH")
    quote = quoted(dev, given)
    assert quote["outcome"] == "STARTS_BY_PREEMPTING"
    answer = client_for(dev).post(SUBMIT, {**given, "quote": quote["token"]})
    assert answer.status_code == 201, answer.json()
    assert answer.json()["status"] == "RUNNING"
    victim.refresh_from_db()
    other.refresh_from_db()
    assert (victim.status, other.status) == (Status.QUEUED, Status.RUNNING)


def test_what_fits_is_quoted_to_start_and_does_so_at_once(cluster: Cluster, dev: User) -> None:
    given = body(cluster)
    quote = quoted(dev, given)
    assert (quote["outcome"], quote["preempts"], quote["reason"]) == ("STARTS_NOW", [], None)
    answer = client_for(dev).post(SUBMIT, {**given, "quote": quote["token"]})
    assert answer.status_code == 201
    assert answer.json()["status"] == "RUNNING"
    assert SchedulingCycle.objects.get().started_count == 1
    assert audit.breaches() == []


def test_a_preemption_is_quoted_with_its_victims_and_kept(
    cluster: Cluster, submit: Submit, dev: User
) -> None:
    low = submit("LOW", gpu=8)
    run_cycle(cluster)
    given = body(cluster, priority="HIGH")
    quote = quoted(dev, given)
    assert quote["outcome"] == "STARTS_BY_PREEMPTING"
    assert [each["deployment_id"] for each in quote["preempts"]] == [str(low.pk)]
    answer = client_for(dev).post(SUBMIT, {**given, "quote": quote["token"]})
    assert answer.json()["status"] == "RUNNING"
    low.refresh_from_db()
    assert (low.status, low.reason_code) == (Status.QUEUED, "PREEMPTED")
    assert audit.breaches() == []


def test_a_wait_is_quoted_with_reason_position_and_the_time_that_limits_promise(
    cluster: Cluster, submit: Submit, dev: User
) -> None:
    running = submit("HIGH", gpu=8, max_runtime_s=3600)
    run_cycle(cluster)
    submit("LOW", gpu=8)
    run_cycle(cluster)
    given = body(cluster, gpu=4)
    quote = quoted(dev, given)
    running.refresh_from_db()
    assert quote["outcome"] == "WAITS"
    assert quote["reason"]["code"] == "INSUFFICIENT_CAPACITY"
    assert quote["queue_position"] == 2
    assert running.started_at is not None
    assert quote["earliest_start"] is None  # the LOW of 8 GPUs goes first, and has no limit
    small = quoted(dev, body(cluster, gpu=8, priority="HIGH"))
    assert small["earliest_start"] is not None
    answer = client_for(dev).post(SUBMIT, {**given, "quote": quote["token"]})
    assert (answer.status_code, answer.json()["status"]) == (201, "QUEUED")


def test_what_can_never_fit_is_quoted_so(cluster: Cluster, dev: User) -> None:
    quote = quoted(dev, body(cluster, gpu=9))
    assert (quote["outcome"], quote["reason"]["code"]) == ("WAITS", "EXCEEDS_CAPACITY")


@pytest.mark.parametrize("change", ["submit", "stop", "policy", "totals"])
def test_a_quote_is_stale_once_the_cluster_has_changed(
    cluster: Cluster, submit: Submit, dev: User, ada: User, change: str
) -> None:
    low = submit("LOW", gpu=1)
    run_cycle(cluster)
    given = body(cluster)
    token = quoted(dev, given)["token"]
    match change:
        case "submit":
            submit("LOW", gpu=1)
        case "stop":
            client_for(dev).post(f"{SUBMIT}/{low.pk}/stop")
        case "policy":
            path = f"/api/clusters/{cluster.pk}"
            client_for(ada).patch(path, {"policy": {"queueing": "strict"}})
        case "totals":
            client_for(ada).patch(f"/api/clusters/{cluster.pk}", {"total_gpu": 9})
    before = fingerprint()
    answer = client_for(dev).post(SUBMIT, {**given, "quote": token})
    assert (answer.status_code, answer.json()["code"]) == (409, "quote_stale")
    assert fingerprint() == before


def test_a_quote_is_valid_for_its_body_alone(cluster: Cluster, dev: User) -> None:
    token = quoted(dev, body(cluster))["token"]
    answer = client_for(dev).post(SUBMIT, {**body(cluster, gpu=3), "quote": token})
    assert (answer.status_code, answer.json()["code"]) == (409, "quote_mismatch")
    assert Deployment.objects.count() == 0


def test_a_quote_is_valid_for_its_caller_alone(cluster: Cluster, dev: User, ada: User) -> None:
    token = quoted(dev, body(cluster))["token"]
    answer = client_for(ada).post(SUBMIT, {**body(cluster), "quote": token})
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == ["quote"]


@pytest.mark.parametrize("token", ["x", "", "a:b:c", 7, None, "\u2603" * 20])
def test_what_is_no_token_is_named(cluster: Cluster, dev: User, token: Any) -> None:
    answer = client_for(dev).post(SUBMIT, {**body(cluster), "quote": token})
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == ["quote"]
    assert Deployment.objects.count() == 0


def test_an_old_quote_has_expired(
    cluster: Cluster, dev: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = quoted(dev, body(cluster))["token"]
    later = time.time() + quotes.VALID_S + 1
    monkeypatch.setattr(time, "time", lambda: later)
    answer = client_for(dev).post(SUBMIT, {**body(cluster), "quote": token})
    assert (answer.status_code, answer.json()["code"]) == (409, "quote_stale")


def test_a_user_that_may_not_submit_gets_no_quote(cluster: Cluster, vera: User, sam: User) -> None:
    assert client_for(vera).post(QUOTE, body(cluster)).status_code == 403
    assert client_for(sam).post(QUOTE, body(cluster)).status_code == 404
    assert client_for(None).post(QUOTE, body(cluster)).status_code == 401


def test_a_replayed_submit_does_not_redeem_again(cluster: Cluster, dev: User) -> None:
    given = body(cluster)
    given["quote"] = quoted(dev, given)["token"]
    client = client_for(dev)
    first = client.post(SUBMIT, given, headers={"Idempotency-Key": "k"})
    again = client.post(SUBMIT, given, headers={"Idempotency-Key": "k"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]


@pytest.mark.django_db(transaction=True)
def test_of_many_quotes_for_the_same_capacity_one_is_redeemed(cluster: Cluster, dev: User) -> None:
    given = body(cluster, gpu=8)
    tokens = [quoted(dev, given)["token"] for _ in range(4)]

    def present(token: str) -> int:
        return int(client_for(dev).post(SUBMIT, {**given, "quote": token}).status_code)

    answers = all_at_once(*[lambda token=token: present(token) for token in tokens])
    assert sorted(answers) == [201, 409, 409, 409]
    assert Deployment.objects.get().status == Status.RUNNING
    assert audit.breaches() == []


def test_what_waits_for_others_is_quoted_so_though_it_would_fit(
    cluster: Cluster, submit: Submit, dev: User
) -> None:
    needed = submit("LOW", gpu=1)
    given = body(cluster, depends_on=[str(needed.pk)])
    quote = quoted(dev, given)
    assert (quote["outcome"], quote["preempts"]) == ("WAITS", [])
    assert quote["reason"]["code"] == "WAITING_FOR_DEPENDENCIES"
    assert quote["reason"]["details"] == {
        "count": 1,
        "deployments": [str(needed.pk)],
        "deployment_names": ["busybox of dev"],
    }
    assert quote["earliest_start"] is None
    answer = client_for(dev).post(SUBMIT, {**given, "quote": quote["token"]})
    assert (answer.status_code, answer.json()["status"]) == (201, "QUEUED")
    assert answer.json()["reason"] == quote["reason"]
    assert audit.breaches() == []


def test_what_depends_on_something_stopped_has_no_quote(
    cluster: Cluster, submit: Submit, dev: User
) -> None:
    needed = submit("LOW", gpu=1)
    client_for(dev).delete(f"{SUBMIT}/{needed.pk}")
    answer = client_for(dev).post(QUOTE, body(cluster, depends_on=[str(needed.pk)]))
    assert (answer.status_code, answer.json()["code"]) == (409, "dependency_failed")


def test_a_token_is_as_short_for_many_victims_as_for_one(
    cluster: Cluster, submit: Submit, dev: User
) -> None:
    Cluster.objects.update(total_cpu_milli=300_000)
    for _ in range(300):
        submit("LOW", cpu=1)
    run_cycle(cluster)
    given = body(cluster, gpu=0, priority="HIGH", required_cpu=250)
    quote = quoted(dev, given)
    assert len(quote["preempts"]) == 250
    answer = client_for(dev).post(SUBMIT, {**given, "quote": quote["token"]})
    assert (answer.status_code, answer.json()["status"]) == (201, "RUNNING")


def test_rows_that_change_while_a_quote_is_kept_make_it_stale(cluster: Cluster, dev: User) -> None:
    def stop() -> None:
        Deployment.objects.update(status=Status.STOPPED)

    given = body(cluster)
    token = quoted(dev, given)["token"]
    with after_statement(f'FROM "{ReservationRecord._meta.db_table}"', stop):
        answer = client_for(dev).post(SUBMIT, {**given, "quote": token})
    assert (answer.status_code, answer.json()["code"]) == (409, "quote_stale")
    assert Deployment.objects.count() == 0
