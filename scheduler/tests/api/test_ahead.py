"""Who is ahead, in an explanation and in a quote: owner, teammate, stranger; by each rule."""

from typing import Any

import pytest

from accounts.models import User
from clusters.models import Cluster, Node
from deployments.models import Deployment
from deployments.services.submit import create_deployment
from organizations.tests.people import client_for
from scheduler.answers import ahead
from scheduler.store.queue import line
from scheduler.tests.api.test_explain import explained
from scheduler.tests.api.test_quote import body, quoted
from scheduler.tests.conftest import Submit, run_cycle

pytestmark = pytest.mark.django_db
COUNTS = ("higher_class", "larger_share", "less_allocated", "earlier", "impossible", "total")


def counts(found: dict[str, Any] | None) -> tuple[int, ...]:
    assert found is not None
    return tuple(found[name] for name in COUNTS)


@pytest.fixture
def full(cluster: Cluster, submit: Submit) -> Cluster:
    """A cluster of which one deployment has all GPUs, and nothing is evicted."""
    Cluster.objects.update(preemption="never")
    submit("HIGH", gpu=8)
    run_cycle(cluster)
    return cluster


def test_each_rule_counts_those_that_it_puts_ahead(
    full: Cluster, submit: Submit, dev: User, vera: User, sam: User
) -> None:
    submit("HIGH", gpu=1)
    submit("LOW", gpu=4)
    for _ in range(3):
        submit("LOW", gpu=2)
    mine = submit("LOW", gpu=2)
    for behind in ({"gpu": 2}, {"gpu": 1}):
        submit("LOW", **behind)
    submit("HIGH", gpu=9)  # asks for more than there is
    run_cycle(full)
    for member in (dev, vera):
        found = explained(member, mine)["ahead"]
        assert counts(found) == (1, 1, 0, 3, 1, 5)
        assert found["order"] == ["class", "share asked for", "time"]
        assert found["message"] == (
            "1 of a higher class, 1 of your class with a larger share, 3 that came earlier in your "
            "class; order: class, share asked for, time."
        )
    assert client_for(sam).get(f"/api/deployments/{mine.pk}/explain").status_code == 404


def test_a_quote_counts_those_ahead_of_a_submit_that_is_not_made(
    full: Cluster, submit: Submit, dev: User
) -> None:
    for _ in range(3):
        submit("LOW", gpu=2)
    assert counts(quoted(dev, body(full, gpu=2))["ahead"]) == (0, 0, 0, 3, 0, 3)
    assert counts(quoted(dev, body(full, gpu=2, priority="HIGH"))["ahead"]) == (0, 0, 0, 0, 0, 0)
    assert quoted(dev, body(full, gpu=0))["ahead"] is None  # it would start


def test_under_fair_share_those_whose_owners_have_less_are_ahead(
    full: Cluster, submit: Submit, dev: User, ada: User
) -> None:
    Cluster.objects.update(ordering="fair_share")
    spec = {"image": "busybox", "cpu_milli": 1000, "ram_mib": 1024, "gpu": 1}
    submit("LOW", gpu=1)
    mine = submit("LOW", gpu=1)
    hers = create_deployment(ada, full.pk, spec, priority="LOW").deployment
    run_cycle(full)
    assert counts(explained(dev, mine)["ahead"]) == (0, 0, 1, 1, 0, 2)
    assert counts(explained(ada, hers)["ahead"]) == (0, 0, 0, 0, 0, 0)
    message = explained(ada, hers)["ahead"]["message"]
    assert message.startswith("Nothing is ahead of it; order: class, share allocated")


def test_by_time_alone_size_does_not_count(full: Cluster, submit: Submit, dev: User) -> None:
    Cluster.objects.update(ordering="fifo")
    submit("LOW", gpu=1)
    mine = submit("LOW", gpu=2)
    submit("LOW", gpu=8)
    run_cycle(full)
    found = explained(dev, mine)["ahead"]
    assert (counts(found), found["order"]) == ((0, 0, 0, 1, 0, 1), ["class", "time"])


def test_what_can_never_start_stands_at_the_end_of_the_line(
    full: Cluster, submit: Submit, dev: User
) -> None:
    submit("HIGH", gpu=9)
    impossible = submit("HIGH", gpu=9)
    for _ in range(4):
        submit("LOW", gpu=1)
    run_cycle(full)
    found = explained(dev, impossible)["ahead"]
    assert (found["impossible"], found["total"], found["message"]) == (1, 5, ahead.AT_THE_END)
    last = Deployment.objects.order_by("id").last()
    assert last is not None
    assert counts(explained(dev, last)["ahead"]) == (0, 0, 0, 3, 2, 3)


def test_what_asks_for_a_label_that_no_node_has_is_ahead_of_none(
    cluster: Cluster, submit: Submit, dev: User
) -> None:
    Cluster.objects.update(preemption="never")
    Node.objects.create(cluster=cluster, name="one", cpu_milli=64_000, ram_mib=512 * 1024, gpu=8)
    submit("HIGH", gpu=8)
    run_cycle(cluster)
    submit("HIGH", gpu=2, node_selector={"gpu": "h100"})
    mine = submit("LOW", gpu=2)
    run_cycle(cluster)
    assert counts(explained(dev, mine)["ahead"]) == (0, 0, 0, 0, 1, 0)


def test_what_waits_for_others_is_not_in_line(full: Cluster, submit: Submit, dev: User) -> None:
    first = submit("LOW", gpu=1)
    submit("LOW", gpu=1, depends_on=[str(first.pk)])
    mine = submit("LOW", gpu=1)
    run_cycle(full)
    assert counts(explained(dev, mine)["ahead"]) == (0, 0, 0, 1, 0, 1)


@pytest.mark.parametrize("limit", ["MOST_COUNTED", "MOST_GROUPS"])
def test_where_more_wait_than_one_answer_counts_it_says_nothing(
    full: Cluster, submit: Submit, dev: User, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(line, limit, 1)
    for gpu in (1, 2, 3):
        submit("LOW", gpu=gpu)
    mine = submit("LOW", gpu=1)
    assert explained(dev, mine)["ahead"] is None
