"""Lets the Pods of a gang find each other by name, and lets their programs begin together.

A headless Service gives each Pod its name, from its first moment on. A variable of each container
comes from a ConfigMap that does not exist yet: a kubelet schedules the Pod, pulls its image, and
then waits with CreateContainerConfigError. Once all Pods of the attempt wait there, the ConfigMap
is created. Nothing is needed of the image, as an init container would need a shell.

Both objects belong to the Pod of replica 0, so Kubernetes deletes them after it.
"""

from deployments.runtimes.base import Key, LaunchSpec
from deployments.runtimes.kubernetes.api import Api, Refusal
from deployments.runtimes.kubernetes.names import (
    ATTEMPT,
    CLUSTER,
    DEPLOYMENT,
    PREFIX,
    Json,
    main_status,
    pod_name,
    selector,
)
from deployments.runtimes.kubernetes.secrets import is_gated
from deployments.runtimes.peers import FOLDER, GANG, HOSTFILE, MASTER_PORT, Peers, host_name

BEGUN = f"{PREFIX}begun"  # an annotation; writing it also makes the kubelet look at once
HOSTFILE_ANNOTATION = f"{PREFIX}hostfile"
_VOLUME = "peers"


def join(pod: Json, peers: Peers, replica: int) -> Json:
    """Make the Pod one of the gang's: its name, its hostfile, and what it waits for."""
    [container] = pod["spec"]["containers"]
    begins_with = {"configMapKeyRef": {"name": peers.group, "key": GANG}}
    container["env"] = [
        *(each for each in container["env"] if each["name"] != GANG),
        {"name": GANG, "valueFrom": begins_with},
    ]
    container["volumeMounts"].append({"name": _VOLUME, "mountPath": FOLDER, "readOnly": True})
    from_annotation = {"fieldPath": f"metadata.annotations['{HOSTFILE_ANNOTATION}']"}
    item = {"path": HOSTFILE, "fieldRef": from_annotation}
    pod["spec"]["volumes"].append({"name": _VOLUME, "downwardAPI": {"items": [item]}})
    pod["spec"] |= {"hostname": host_name(replica), "subdomain": peers.group}
    pod["metadata"]["annotations"][HOSTFILE_ANNOTATION] = peers.hostfile
    return pod


def waits_for_gang(pod: Json) -> bool:
    """Whether all is there for its container but the gang's ConfigMap."""
    status = pod.get("status") or {}
    waiting = (main_status(status).get("state") or {}).get("waiting") or {}
    group = pod["spec"].get("subdomain")
    return (
        bool(group)
        and status.get("phase") == "Pending"
        and waiting.get("reason") == "CreateContainerConfigError"
        and f'"{group}" not found' in (waiting.get("message") or "")
    )


def has_begun(pod: Json) -> bool:
    """False of a Pod that waits for its gang, until the gang's ConfigMap has been created."""
    return not waits_for_gang(pod) or BEGUN in (pod["metadata"].get("annotations") or {})


def pods_of(api: Api, namespace: str, launch_spec: LaunchSpec, cluster_id: str) -> list[Json]:
    """The Pods of the attempt, as far as they exist."""
    wanted = f"{selector(cluster_id)},{DEPLOYMENT}={launch_spec.deployment_id}"
    wanted += f",{ATTEMPT}={launch_spec.attempt}"
    return api.items("list_namespaced_pod", _what_matters, namespace, label_selector=wanted)


def ensure_service(api: Api, namespace: str, launch_spec: LaunchSpec, cluster_id: str) -> None:
    """Give the Pods their names; the Pod of replica 0 exists."""
    assert launch_spec.peers is not None
    metadata = _metadata(api, namespace, launch_spec, cluster_id)
    spec = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": {
            CLUSTER: cluster_id,
            DEPLOYMENT: launch_spec.deployment_id,
            ATTEMPT: str(launch_spec.attempt),
        },
        # Some DNS servers name nothing for a Service without a port. All ports are open.
        "ports": [{"name": "master", "port": MASTER_PORT}],
    }
    service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
    _create(api, "create_namespaced_service", namespace, service)


def begin(
    api: Api, namespace: str, launch_spec: LaunchSpec, cluster_id: str, pods: list[Json]
) -> None:
    """Let the programs begin, if all of the attempt's Pods wait for that, or run already."""
    assert launch_spec.peers is not None
    if any(each["pending"] and not each["waits"] for each in pods):
        return
    ensure_service(api, namespace, launch_spec, cluster_id)
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(api, namespace, launch_spec, cluster_id),
        "data": {GANG: launch_spec.peers.group},
    }
    _create(api, "create_namespaced_config_map", namespace, config_map)
    begun = {"metadata": {"annotations": {BEGUN: "true"}}}
    for each in pods:
        if each["waits"] and not each["begun"]:
            try:
                _unless_gone(api, "patch_namespaced_pod", each["name"], namespace, begun)
            except Refusal as refusal:
                if refusal.status != 403:
                    raise
                # Without that right the kubelets look by themselves, within about a minute.


def remove(api: Api, namespace: str, pod: Json) -> None:
    """Remove what belongs to the gang of this Pod, that of replica 0; does nothing for another."""
    group = pod["spec"].get("subdomain")
    if group and pod["spec"].get("hostname") == host_name(0):
        _unless_gone(api, "delete_namespaced_config_map", group, namespace)
        _unless_gone(api, "delete_namespaced_service", group, namespace)


def _what_matters(pod: Json) -> Json:
    return {
        "name": pod["metadata"]["name"],
        "pending": (pod.get("status") or {}).get("phase") == "Pending",
        "waits": waits_for_gang(pod),
        "begun": has_begun(pod),
        "gated": is_gated(pod),
    }


def _metadata(api: Api, namespace: str, launch_spec: LaunchSpec, cluster_id: str) -> Json:
    assert launch_spec.peers is not None
    first = pod_name(Key(launch_spec.deployment_id, launch_spec.attempt, 0))
    uid = api.call("read_namespaced_pod", first, namespace)["metadata"]["uid"]
    return {
        "name": launch_spec.peers.group,
        "labels": {CLUSTER: cluster_id, DEPLOYMENT: launch_spec.deployment_id},
        "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": first, "uid": uid}],
    }


def _create(api: Api, method: str, namespace: str, thing: Json) -> None:
    try:
        api.call(method, namespace, thing)
    except Refusal as refusal:
        if refusal.reason != "AlreadyExists":
            raise


def _unless_gone(api: Api, method: str, *given: object) -> None:
    try:
        api.call(method, *given)
    except Refusal as refusal:
        if refusal.status != 404:
            raise
