"""A node of an engine offers no more than the engine has."""

import pytest

from clusters.models import Node
from clusters.services.nodes import change_node
from deployments.runtimes.base import Capacity
from deployments.tests.reconciler.testbed import Testbed
from deployments.tests.workloads import allocated

pytestmark = pytest.mark.django_db


def sizes(node: Node) -> tuple[int, int, int]:
    node.refresh_from_db()
    return node.cpu_milli, node.ram_mib, node.gpu


def test_what_a_node_is_given_beyond_its_engine_is_cut_and_it_says_so(testbed: Testbed):
    node = testbed.add_node("large", cpu_milli=64_000, ram_mib=1_000_000, gpu=8)
    testbed.reconcile()
    assert sizes(node) == (16_000, 65_536, 8)
    assert node.reason == "It was given more than its engine has, and offers what the engine has."
    testbed.cluster.refresh_from_db()
    assert testbed.cluster.total_cpu_milli == 16_000
    testbed.reconcile()
    assert "more than its engine has" in node.reason
    change_node(node, {"cpu_milli": 8000, "ram_mib": 1024})
    testbed.reconcile()
    assert sizes(node) == (8000, 1024, 8)
    assert node.reason == ""


def test_a_node_warns_of_what_its_engine_says_whether_it_is_cut_or_not(testbed: Testbed):
    warning = "live-restore is off."
    large, small = testbed.add_node("large", cpu_milli=64_000), testbed.add_node("small")
    for node in (large, small):
        testbed.runtime_of(node).nodes = [Capacity("x", 16000, 65536, None, reason=warning)]
    for _ in range(2):
        testbed.reconcile()
        large.refresh_from_db()
        small.refresh_from_db()
        assert small.reason == warning
        assert large.reason.startswith("It was given more")
        assert large.reason.endswith(warning)
        assert large.effective_state == small.effective_state == "READY"


def test_gpus_that_the_engine_knows_are_cut_too(testbed: Testbed):
    node = testbed.add_node("a", gpu=8)
    testbed.runtime_of(node).nodes = [Capacity("a", 16000, 65536, 2)]
    testbed.reconcile()
    assert sizes(node) == (4000, 8192, 2)


def test_what_is_allocated_is_not_cut(testbed: Testbed):
    node = testbed.add_node("a")
    testbed.reconcile()
    testbed.submit(cpu_milli=3000)
    testbed.settle()
    testbed.runtime_of(node).nodes = [Capacity("a", 2000, 65536, None)]
    testbed.reconcile()
    assert sizes(node)[0] == 3000
    assert allocated(testbed.cluster)[0] == 3000


@pytest.mark.parametrize("cpu_milli", [1000, 16_000])
def test_a_node_that_was_given_no_more_than_its_engine_has_says_nothing(
    testbed: Testbed, cpu_milli: int
):
    node = testbed.add_node("a", cpu_milli=cpu_milli)
    testbed.reconcile()
    assert sizes(node)[0] == cpu_milli
    assert node.reason == ""


def test_a_node_that_was_cut_grows_with_its_engine_up_to_what_it_was_given(testbed: Testbed):
    node = testbed.add_node("large", cpu_milli=64_000, ram_mib=1_000_000, gpu=8)
    testbed.reconcile()
    for engine, expected in (
        ((32_000, 65_536), (32_000, 65_536, 8)),
        ((96_000, 2_000_000), (64_000, 1_000_000, 8)),
        ((48_000, 65_536), (48_000, 65_536, 8)),
    ):
        testbed.runtime_of(node).nodes = [Capacity("large", *engine, None)]
        testbed.reconcile()
        assert sizes(node) == expected
        is_cut = expected != (64_000, 1_000_000, 8)
        assert ("more than its engine has" in node.reason) is is_cut
        testbed.cluster.refresh_from_db()
        assert testbed.cluster.total_cpu_milli == expected[0]


def test_a_size_that_is_given_anew_replaces_the_one_before(testbed: Testbed):
    node = testbed.add_node("large", cpu_milli=64_000)
    testbed.reconcile()
    change_node(node, {"cpu_milli": 8000})
    testbed.runtime_of(node).nodes = [Capacity("large", 96_000, 65_536, None)]
    testbed.reconcile()
    assert sizes(node)[0] == 8000
    assert node.reason == ""
