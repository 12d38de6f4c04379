"""Quantities and effective requests, as Kubernetes defines them."""

from fractions import Fraction

import pytest

from deployments.runtimes.kubernetes.node_capacity import (
    Amounts,
    node_capacities,
    requests,
    used_by,
    what_matters,
)
from deployments.runtimes.kubernetes.quantities import MIB, cpu_milli, quantity, whole


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("2", 2),
        (2, 2),
        (0.5, Fraction(1, 2)),
        ("500m", Fraction(1, 2)),
        ("0.1", Fraction(1, 10)),
        (".5", Fraction(1, 2)),
        ("5.", 5),
        ("+1", 1),
        ("-1", -1),
        ("1500u", Fraction(3, 2000)),
        ("7n", Fraction(7, 10**9)),
        ("1k", 1000),
        ("1Ki", 1024),
        ("1.5Gi", 3 * 2**29),
        ("128M", 128 * 10**6),
        ("129e6", 129 * 10**6),
        ("1E3", 1000),
        ("1E", 10**18),
        ("1Ei", 2**60),
        ("2e-3", Fraction(1, 500)),
        ("3Ti", 3 * 2**40),
        ("1P", 10**15),
    ],
)
def test_quantities_are_exact(text, value):
    assert quantity(text) == value


@pytest.mark.parametrize("text", ["", "Gi", "1K", "1 Gi", "1Gi2", "1e", "e3", "1e3Ki", "1e999999"])
def test_text_that_is_no_quantity_is_refused(text):
    with pytest.raises(ValueError, match="no quantity"):
        quantity(text)


def test_requests_are_rounded_up():
    assert cpu_milli("0.0001") == 1
    assert whole("1m") == 1


def of(cpu, memory="0", gpu=None, **more):
    named = {"cpu": cpu, "memory": memory} | ({"nvidia.com/gpu": gpu} if gpu else {})
    return {"resources": {"requests": named}, **more}


ALWAYS = {"restartPolicy": "Always"}


@pytest.mark.parametrize(
    ("spec", "needs"),
    [
        ({"containers": [{}]}, Amounts()),
        ({"containers": [of("100m", "64Mi"), of("1", "1Gi", "2")]}, Amounts(1100, 1088 * MIB, 2)),
        # The largest of those that come one after the other, where it is larger than all together.
        ({"initContainers": [of("2"), of("3")], "containers": [of("1"), of("1")]}, Amounts(3000)),
        ({"initContainers": [of("1")], "containers": [of("1"), of("1")]}, Amounts(2000)),
        # A sidecar stays, beside what comes after it and beside the containers …
        ({"initContainers": [of("1", **ALWAYS), of("3")], "containers": [of("1")]}, Amounts(4000)),
        ({"initContainers": [of("1", **ALWAYS)], "containers": [of("2")]}, Amounts(3000)),
        # … but was not there before.
        ({"initContainers": [of("3"), of("1", **ALWAYS)], "containers": [of("1")]}, Amounts(3000)),
        # Each resource for itself.
        (
            {"initContainers": [of("3", "1Mi")], "containers": [of("1", "9Mi")]},
            Amounts(3000, 9 * MIB),
        ),
        (
            {"containers": [of("1", "1Mi")], "overhead": {"cpu": "250m", "memory": "2Mi"}},
            Amounts(1250, 3 * MIB),
        ),
        # Requests of the whole Pod go before.
        ({"containers": [of("1", "1Mi")], **of("5", "7Mi")}, Amounts(5000, 7 * MIB)),
    ],
)
def test_requests_of_a_pod_are_those_of_the_kube_scheduler(spec, needs):
    assert requests(spec) == needs


def node(name="n", allocatable=None, **spec):
    conditions = spec.pop("conditions", [{"type": "Ready", "status": "True"}])
    offered = {"cpu": "4", "memory": "8Gi", **(allocatable or {})}
    return {
        "metadata": {"name": name, "labels": {"zone": "a"}},
        "spec": spec,
        "status": {"allocatable": offered, "conditions": conditions},
    }


def pod(cpu, memory="0", on="n", namespace="other", cluster=None, phase="Running"):
    labels = {"mlops-platform/cluster": cluster} if cluster else None
    return {
        "metadata": {"namespace": namespace, "labels": labels},
        "spec": {"nodeName": on, "containers": [of(cpu, memory)]},
        "status": {"phase": phase},
    }


def left(*pods, **given):
    used = [used_by(pod, "ours", "mlops") for pod in pods]
    [capacity] = node_capacities([what_matters(node(**given))], used)
    return capacity


def test_a_node_offers_what_other_pods_have_not_requested():
    seen = left(pod("500m", "1Gi"), pod("1", "1500Ki", namespace="mlops", cluster="theirs"))
    assert (seen.cpu_milli, seen.ram_mib, seen.gpu) == (2500, 7 * 1024 - 2, 0)
    assert (seen.node, seen.labels) == ("n", {"zone": "a"})


@pytest.mark.parametrize(
    "other",
    [
        pod("1", namespace="mlops", cluster="ours"),
        pod("1", phase="Succeeded"),
        pod("1", phase="Failed"),
        pod("1", on="elsewhere"),
        pod("1", on=None),
    ],
)
def test_own_ended_and_unbound_pods_request_nothing(other):
    assert left(other).cpu_milli == 4000


def test_a_pod_with_the_clusters_label_in_another_namespace_is_not_its_own():
    assert left(pod("1", namespace="other", cluster="ours")).cpu_milli == 3000


def test_capacity_is_rounded_down_and_never_negative():
    seen = left(pod("9", "9Gi"), allocatable={"nvidia.com/gpu": "2"})
    assert (seen.cpu_milli, seen.ram_mib, seen.gpu) == (0, 0, 2)
    seen = left(allocatable={"cpu": "1999500u", "memory": "1048575"})
    assert (seen.cpu_milli, seen.ram_mib) == (1999, 0)


@pytest.mark.parametrize(
    ("given", "ready", "cordoned"),
    [
        ({}, True, False),
        ({"conditions": []}, False, False),
        ({"conditions": [{"type": "Ready", "status": "Unknown"}]}, False, False),
        ({"unschedulable": True}, True, True),
        ({"taints": [{"key": "gpu", "effect": "NoSchedule"}]}, True, True),
        ({"taints": [{"key": "gone", "effect": "NoExecute"}]}, True, True),
        ({"taints": [{"key": "full", "effect": "PreferNoSchedule"}]}, True, False),
    ],
)
def test_whether_a_node_takes_pods(given, ready, cordoned):
    seen = left(**given)
    assert (seen.ready, seen.cordoned) == (ready, cordoned)


def test_a_node_lists_the_names_of_its_images():
    listed = node()
    listed["status"]["images"] = [
        {"names": ["docker.io/library/b@sha256:" + "b" * 64, "docker.io/library/b:1"]},
        {"names": ["quay.io/a:2", "<none>:<none>"], "sizeBytes": 7},
        {"sizeBytes": 7},
    ]
    [capacity] = node_capacities([what_matters(listed)], [])
    assert capacity.images == (
        "docker.io/library/b:1",
        "docker.io/library/b@sha256:" + "b" * 64,
        "quay.io/a:2",
    )
