"""The queues in Redis."""

from uuid import uuid4

import pytest
from redis.exceptions import RedisError
from uuid_utils.compat import uuid7

from deployments import redis_queues
from mlops_platform.coordination.redis import redis_client

CLASSES = ["URGENT", "HIGH", "LOW"]


@pytest.fixture
def here():
    return uuid4()


@pytest.fixture
def redis_away(settings, tmp_path):
    settings.REDIS_URL = f"unix://{tmp_path}/missing.sock"


def order(cluster_id, class_name):
    return redis_client().zrange(redis_queues.queue_key(cluster_id, class_name), 0, -1)


def test_the_key_has_the_cluster_and_the_class(here):
    assert redis_queues.queue_key(here, "HIGH") == f"cluster:{here}:queue:high"


def test_larger_scores_come_first_and_then_the_order_of_submit(here):
    ids = [uuid7() for _ in range(5)]
    scores = [0, 5, 111_000_000, 5, 0]
    redis_queues.enter(here, [("LOW", id_, score) for id_, score in zip(ids, scores, strict=True)])
    assert order(here, "LOW") == [str(ids[index]) for index in (2, 1, 3, 0, 4)]


def test_entering_again_keeps_one_entry_with_the_new_score(here):
    first, second = uuid7(), uuid7()
    redis_queues.enter(here, [("LOW", first, 1), ("LOW", second, 2), ("LOW", first, 3)])
    assert order(here, "LOW") == [str(first), str(second)]


def test_a_deployment_that_leaves_is_not_in_the_queue(here):
    first, second = uuid7(), uuid7()
    redis_queues.enter(here, [("LOW", first, 0), ("HIGH", second, 0)])
    redis_queues.leave(here, [("LOW", first), ("HIGH", first), ("LOW", uuid7())])
    assert redis_queues.lengths(here, CLASSES) == {"URGENT": 0, "HIGH": 1, "LOW": 0}


def test_an_empty_change_makes_no_call(here, redis_away):
    redis_queues.enter(here, [])
    redis_queues.leave(here, [])
    assert redis_queues.positions([], CLASSES) == []


def test_more_urgent_classes_come_first(here):
    there = uuid4()
    low, low2, high, urgent, elsewhere, nowhere = (uuid7() for _ in range(6))
    redis_queues.enter(
        here,
        [("LOW", low, 0), ("LOW", low2, 9), ("HIGH", high, 0), ("URGENT", urgent, 0)],
    )
    redis_queues.enter(there, [("LOW", elsewhere, 0)])
    asked = [
        (here, "LOW", low),
        (there, "LOW", elsewhere),
        (here, "HIGH", high),
        (here, "URGENT", urgent),
        (here, "LOW", nowhere),
        (here, "LOW", low2),
    ]
    assert redis_queues.positions(asked, CLASSES) == [4, 1, 2, 1, None, 3]


def test_a_rebuild_replaces_the_whole_queue(here):
    old, new = uuid7(), [uuid7() for _ in range(2500)]
    redis_queues.enter(here, [("HIGH", old, 0), ("LOW", old, 0)])
    assert redis_queues.signature(here) is None
    waiting = {"LOW": [(id_, 0) for id_ in new]}
    assert redis_queues.rebuild(here, CLASSES, lambda: waiting, "fifo/8/16/4")
    assert redis_queues.lengths(here, CLASSES) == {"URGENT": 0, "HIGH": 0, "LOW": 2500}
    assert redis_queues.positions([(here, "LOW", new[-1]), (here, "HIGH", old)], CLASSES) == [
        2500,
        None,
    ]
    assert redis_queues.signature(here) == "fifo/8/16/4"


@pytest.mark.parametrize("write", ["enter", "leave"])
def test_a_rebuild_that_read_before_another_write_changes_nothing(here, write):
    first, second = uuid7(), uuid7()
    redis_queues.enter(here, [("LOW", first, 0)])

    def overtaken():
        if write == "enter":
            redis_queues.enter(here, [("HIGH", second, 0)])
        else:
            redis_queues.leave(here, [("LOW", first)])
        return {"LOW": [(first, 0)]}

    assert not redis_queues.rebuild(here, CLASSES, overtaken, "x")
    assert redis_queues.signature(here) is None
    left = {"enter": {"URGENT": 0, "HIGH": 1, "LOW": 1}, "leave": dict.fromkeys(CLASSES, 0)}
    assert redis_queues.lengths(here, CLASSES) == left[write]


def test_forget_deletes_all_keys(here):
    redis_queues.rebuild(here, CLASSES, lambda: {"LOW": [(uuid7(), 0)]}, "x")
    redis_queues.forget(here, CLASSES)
    assert redis_client().keys("*") == []


def test_reads_return_none_while_redis_is_away(here, redis_away):
    assert redis_queues.lengths(here, CLASSES) is None
    assert redis_queues.signature(here) is None
    assert redis_queues.positions([(here, "LOW", uuid7())] * 2, CLASSES) == [None, None]


def test_writes_raise_while_redis_is_away(here, redis_away):
    for write in (
        lambda: redis_queues.enter(here, [("LOW", uuid7(), 0)]),
        lambda: redis_queues.leave(here, [("LOW", uuid7())]),
        lambda: redis_queues.rebuild(here, CLASSES, dict, "x"),
        lambda: redis_queues.forget(here, CLASSES),
    ):
        with pytest.raises(RedisError):
            write()
