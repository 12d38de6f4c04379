"""The credentials with which kubelets pull images: one Secret of ours."""

import json
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256

from deployments.runtimes.base import Registry, RuntimeUnavailable
from deployments.runtimes.kubernetes.api import TRIES, Api, Refusal
from deployments.runtimes.kubernetes.names import CLUSTER, PREFIX, Json, secret_name

DIGEST = f"{PREFIX}digest"


def pull_secret(cluster_id: str, registries: Sequence[Registry]) -> Json:
    content = json.dumps({"auths": {each.host: _login(each) for each in registries}})
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/dockerconfigjson",
        "metadata": {
            "name": secret_name(cluster_id),
            "labels": {CLUSTER: cluster_id},
            "annotations": {DIGEST: sha256(content.encode()).hexdigest()},
        },
        "data": {".dockerconfigjson": b64encode(content.encode()).decode()},
    }


def ensure(api: Api, namespace: str, secret: Json) -> None:
    """Creates it, or replaces one with other content; whoever else does the same is let finish."""
    name = secret["metadata"]["name"]
    for _ in range(TRIES):
        there = _read(api, name, namespace)
        try:
            if there is None:
                api.call("create_namespaced_secret", namespace, secret)
            elif _digest(there) != _digest(secret):
                version = there["metadata"]["resourceVersion"]
                metadata = {**secret["metadata"], "resourceVersion": version}
                replacement = {**secret, "metadata": metadata}
                api.call("replace_namespaced_secret", name, namespace, replacement)
            return
        except Refusal as refusal:
            # Somebody came first (409) or took it away (404): look again.
            if refusal.status not in {404, 409}:
                raise
    raise RuntimeUnavailable("The Secret for pulling images cannot be kept up to date.")


def remove(api: Api, namespace: str, cluster_id: str) -> None:
    """It is not there afterwards, unless the account may not delete it: then it stays."""
    try:
        api.call("delete_namespaced_secret", secret_name(cluster_id), namespace)
    except Refusal as refusal:
        if refusal.status not in {403, 404}:
            raise


def _read(api: Api, name: str, namespace: str) -> Json | None:
    try:
        return api.call("read_namespaced_secret", name, namespace)
    except Refusal as refusal:
        if refusal.status == 404:
            return None
        raise


def _digest(secret: Json) -> str | None:
    annotations: dict[str, str] = secret["metadata"].get("annotations") or {}
    return annotations.get(DIGEST)


def _login(registry: Registry) -> Json:
    both = f"{registry.username}:{registry.password}"
    return {
        "username": registry.username,
        "password": registry.password,
        "auth": b64encode(both.encode()).decode(),
    }
