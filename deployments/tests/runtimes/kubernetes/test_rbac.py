"""docs/kubernetes-rbac.yaml grants what the runtime does, and nothing else."""

import threading
from pathlib import Path

import pytest
import yaml
from django.conf import settings

from deployments.runtimes.base import Registry, ReplicaPlacement, Secrets
from deployments.runtimes.mounts import Mount
from deployments.runtimes.peers import Peers, group_of
from deployments.tests.runtimes.harness import key_of
from deployments.tests.runtimes.kubernetes.cluster import KEY, NAMESPACE, launch_spec, runtime_at

EVERYWHERE = None


@pytest.fixture(scope="module")
def manifest():
    text = (Path(settings.BASE_DIR) / "docs" / "kubernetes-rbac.yaml").read_text()
    return list(yaml.safe_load_all(text))


def of_kind(manifest, kind):
    return [each for each in manifest if each["kind"] == kind]


def granted(manifest):
    """(verb, resource, namespace) of all roles that are bound to the account."""
    rights = set()
    for kind in ("Role", "ClusterRole"):
        [role] = of_kind(manifest, kind)
        [binding] = of_kind(manifest, f"{kind}Binding")
        assert binding["roleRef"]["name"] == role["metadata"]["name"]
        assert binding["roleRef"]["kind"] == kind
        namespace = role["metadata"].get("namespace")
        for rule in role["rules"]:
            assert rule["apiGroups"] == [""]
            for resource in rule["resources"]:
                rights |= {(verb, resource, namespace) for verb in rule["verbs"]}
    return rights


def gang_from_start_to_end(runtime, kubelet):
    placement = [ReplicaPlacement(number, "node-1") for number in (0, 1)]
    peers = Peers(group_of(KEY.deployment_id, 7), 2)
    gang = launch_spec(attempt=7, placement=placement, peers=peers)
    for _ in range(2):
        runtime.start(gang)
        kubelet.run()
    for number in (0, 1):
        runtime.remove(key_of(gang, number))


def everything(api, kubelet):
    """Makes every call of the runtime."""
    first = runtime_at(api.url, registries=[Registry("r.test", "u", "p")])
    claim = Mount("data", "PVC", "/data", {"size_mib": 1})
    secrets = Secrets({"TOKEN": "x"}, {"token": "x"})
    first.start(launch_spec(mounts=[claim], secrets=secrets))
    runtime = runtime_at(api.url, registries=[Registry("r.test", "u", "new")])
    runtime.start(launch_spec())
    runtime.pull("image")
    runtime.observe()
    runtime.observe([KEY.deployment_id])
    kubelet.run()
    list(runtime.logs(KEY))
    runtime.capacity()
    runtime.stop(KEY, 30)
    runtime.remove(KEY)
    gang_from_start_to_end(runtime, kubelet)
    stop = threading.Event()
    watch = runtime.watch(stop)
    for _ in watch:  # of Pods and of nodes
        if len({each for each in api.requests() if each[0] == "watch"}) == 2:
            break
    stop.set()
    list(watch)
    runtime_at(api.url).tidy()


def test_the_manifest_grants_exactly_the_calls_of_the_runtime(fake_kubernetes, kubelet, manifest):
    everything(fake_kubernetes, kubelet)
    assert fake_kubernetes.requests() == granted(manifest)
    assert {namespace for _, _, namespace in granted(manifest)} == {NAMESPACE, EVERYWHERE}


def test_the_account_lives_where_no_pods_do(manifest):
    [account] = of_kind(manifest, "ServiceAccount")
    [token] = of_kind(manifest, "Secret")
    home = account["metadata"]["namespace"]
    assert home != NAMESPACE
    assert token["metadata"]["namespace"] == home
    for binding in of_kind(manifest, "RoleBinding") + of_kind(manifest, "ClusterRoleBinding"):
        [subject] = binding["subjects"]
        assert (subject["name"], subject["namespace"]) == (account["metadata"]["name"], home)
    assert {each["metadata"]["name"] for each in of_kind(manifest, "Namespace")} == {
        home,
        NAMESPACE,
    }
