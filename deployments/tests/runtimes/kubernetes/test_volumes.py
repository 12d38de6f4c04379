"""The volumes of a Pod, and the claims that are made for them."""

import pytest

from deployments.runtimes.base import Container, RefusedError, Sandbox
from deployments.runtimes.kubernetes.spec import pod_of
from deployments.runtimes.mounts import Mount
from deployments.tests.runtimes.kubernetes.cluster import (
    CLUSTER,
    NAMESPACE,
    launch_spec,
    runtime_at,
)

MADE = {"size_mib": 1024, "storage_class": "fast", "access_mode": "ReadWriteOnce"}


def pod(*mounts, **given):
    spec = launch_spec(mounts=mounts, **given)
    return pod_of(spec, spec.placement[0], CLUSTER)["spec"]


def mounted(*mounts, **given):
    """The Pod's volumes and its container's mounts, besides those that it always has."""
    spec = pod(*mounts, **given)
    [container] = spec["containers"]
    usual = {"shm", "tmp"}
    return (
        [each for each in spec["volumes"] if each["name"] not in usual],
        [each for each in container["volumeMounts"] if each["name"] not in usual],
    )


@pytest.mark.parametrize(
    ("kind", "source", "volume"),
    [
        (
            "HOST_PATH",
            {"path": "/srv/data"},
            {"hostPath": {"path": "/srv/data", "type": "Directory"}},
        ),
        (
            "NFS",
            {"server": "nas", "path": "/export"},
            {"nfs": {"server": "nas", "path": "/export", "readOnly": False}},
        ),
        (
            "PVC",
            {"claim": "sets"},
            {"persistentVolumeClaim": {"claimName": "sets", "readOnly": False}},
        ),
        (
            "PVC",
            {"size_mib": 1},
            {"persistentVolumeClaim": {"claimName": f"mlops-{CLUSTER}-data", "readOnly": False}},
        ),
    ],
)
def test_each_kind_becomes_a_volume_of_the_pod(kind, source, volume):
    volumes, mounts = mounted(Mount("data", kind, "/data", source))
    assert volumes == [{"name": "v-data", **volume}]
    assert mounts == [{"name": "v-data", "mountPath": "/data", "readOnly": False}]


def test_a_volume_that_is_mounted_twice_is_one_volume():
    source = {"claim": "sets"}
    volumes, mounts = mounted(
        Mount("data", "PVC", "/a", source, read_only=True, sub_path="in/a"),
        Mount("data", "PVC", "/b", source),
    )
    assert len(volumes) == 1
    assert volumes[0]["persistentVolumeClaim"]["readOnly"] is False
    assert mounts == [
        {"name": "v-data", "mountPath": "/a", "readOnly": True, "subPath": "in/a"},
        {"name": "v-data", "mountPath": "/b", "readOnly": False},
    ]


@pytest.mark.parametrize(
    ("kind", "source", "of"),
    [
        ("PVC", {"claim": "sets"}, "persistentVolumeClaim"),
        ("NFS", {"server": "nas", "path": "/export"}, "nfs"),
    ],
)
def test_what_is_offered_read_only_is_so_for_the_whole_pod(kind, source, of):
    mount = Mount("data", kind, "/data", source, read_only=True, never_written=True)
    volumes, mounts = mounted(mount)
    assert volumes[0][of]["readOnly"] is True
    assert mounts[0]["readOnly"] is True


def test_the_group_of_its_user_may_write_a_claim():
    claim = Mount("data", "PVC", "/data", {"claim": "sets"})
    context = pod(claim, container=Container(user="1000:100"))["securityContext"]
    assert (context["fsGroup"], context["fsGroupChangePolicy"]) == (100, "OnRootMismatch")
    for spec in (
        pod(claim, container=Container(user="1000")),
        pod(claim),
        pod(container=Container(user="1000:100")),
    ):
        assert "fsGroup" not in spec["securityContext"]


def test_a_volume_named_as_the_pods_own_is_another():
    volumes, _ = mounted(Mount("shm", "PVC", "/data", {"claim": "sets"}))
    assert [each["name"] for each in volumes] == ["v-shm"]


def test_a_volume_may_be_at_tmp_where_the_root_is_read_only():
    mount = Mount("data", "PVC", "/tmp", {"claim": "sets"})
    spec = pod(mount, sandbox=Sandbox(read_only_root=True))
    paths = [each["mountPath"] for each in spec["containers"][0]["volumeMounts"]]
    assert sorted(paths) == ["/dev/shm", "/tmp"]


def test_what_it_may_write_beside_its_volumes_is_requested_and_limited():
    [container] = pod(container=Container(ephemeral_mib=512))["containers"]
    for amounts in container["resources"].values():
        assert amounts["ephemeral-storage"] == "512Mi"
    [container] = pod()["containers"]
    assert "ephemeral-storage" not in container["resources"]["limits"]


# --- Claims --------------------------------------------------------------------------------------


def test_a_claim_is_made_once_before_the_first_pod(fake_kubernetes):
    runtime = runtime_at(fake_kubernetes.url)
    mount = Mount("data", "PVC", "/data", MADE)
    for attempt in (1, 2):
        runtime.start(launch_spec(attempt=attempt, mounts=[mount, mount]))
    assert fake_kubernetes.claims == {
        (NAMESPACE, f"mlops-{CLUSTER}-data"): {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": f"mlops-{CLUSTER}-data",
                "labels": {"mlops-platform/cluster": CLUSTER},
            },
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1024Mi"}},
                "storageClassName": "fast",
            },
        }
    }
    assert len(fake_kubernetes.pods) == 2


def test_without_a_class_it_is_of_the_default_class_and_shared(fake_kubernetes):
    mount = Mount("data", "PVC", "/data", {"size_mib": 5})
    runtime_at(fake_kubernetes.url).start(launch_spec(mounts=[mount]))
    [claim] = fake_kubernetes.claims.values()
    assert claim["spec"] == {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": "5Mi"}},
    }


def test_no_claim_is_made_for_what_exists_already(fake_kubernetes):
    mounts = [
        Mount("data", "PVC", "/data", {"claim": "sets"}),
        Mount("nas", "NFS", "/nas", {"server": "nas", "path": "/export"}),
    ]
    runtime_at(fake_kubernetes.url).start(launch_spec(mounts=mounts))
    assert not fake_kubernetes.claims
    assert len(fake_kubernetes.pods) == 1


def test_a_class_that_the_server_refuses_refuses_the_start(fake_kubernetes):
    fake_kubernetes.no_claims = "admission says no"
    mount = Mount("data", "PVC", "/data", MADE)
    with pytest.raises(RefusedError, match="admission says no"):
        runtime_at(fake_kubernetes.url).start(launch_spec(mounts=[mount]))
    assert not fake_kubernetes.pods
