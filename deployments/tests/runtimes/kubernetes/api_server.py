"""A Kubernetes API server for tests: kmock's HTTP, with the semantics that Pods are run by.

kmock keeps objects, but knows neither selectors, pages, versions, dry runs nor graceful deletion.
Here they are as the API server has them, as far as the runtime relies on them.
"""

import asyncio
import copy
import re
import threading
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import kmock

Json = dict[str, Any]
Name = tuple[str, str]  # namespace, name

AS_EVER = NotImplementedError("goes on to what answers it otherwise")
PODS, SECRETS, NODES, CLAIMS = (
    kmock.resource(f"v1/{kind}") for kind in ("pods", "secrets", "nodes", "persistentvolumeclaims")
)


SERVICES, CONFIG_MAPS = (kmock.resource(f"v1/{kind}") for kind in ("services", "configmaps"))
LAST_WRITTEN = "2026-01-01T12:00:00Z"  # by whatever runs on it
STAMP = b"2026-01-01T13:00:00.000000000+01:00 "  # the same, in the zone of the node


class FakeApi:
    """Objects and their history. Tests and the fake kubelet write to it besides the HTTP server."""

    def __init__(self) -> None:
        self.pods: dict[Name, Json] = {}
        self.secrets: dict[Name, Json] = {}
        self.claims: dict[Name, Json] = {}
        self.no_claims = ""  # why admission refuses each claim
        self.nodes: dict[str, Json] = {}
        self.services: dict[Name, Json] = {}
        self.config_maps: dict[Name, Json] = {}
        self.logs: dict[Name, list[bytes]] = {}
        self.namespaces = {"mlops", "kube-system"}
        self.admit: Callable[[Json], Exception | None] = lambda pod: None
        self.page = 500  # the most items in one answer
        self.server = kmock.KubernetesScaffold()
        self.url = ""
        self._version = 100
        self._oldest = 100
        self._events: list[tuple[int, str, Json]] = []
        self._node_events: list[tuple[int, str, Json]] = []
        self._lock = threading.RLock()
        self._serve()

    # What tests do to it

    def add_node(self, name: str, **status: Any) -> None:
        allocatable = {"cpu": "4", "memory": "8Gi", "pods": "110", **status.pop("allocatable", {})}
        ready = [{"type": "Ready", "status": "True"}]
        node = {
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "spec": {},
            "status": {"allocatable": allocatable, "conditions": ready, **status},
        }
        with self._lock:
            self.nodes[name] = node
            self._record("ADDED", node, of_nodes=True)

    def change_node(self, name: str, change: Callable[[Json], None]) -> None:
        with self._lock:
            change(self.nodes[name])
            self._record("MODIFIED", self.nodes[name], of_nodes=True)

    def delete_node(self, name: str) -> None:
        with self._lock:
            self._record("DELETED", self.nodes.pop(name), of_nodes=True)

    def once(self, action: str, resource: Any, *answers: Any) -> None:
        """Sets the next answers to such requests; AS_EVER leaves one request alone."""
        following = iter(answers)
        self.server[action, resource] ** 10 << (lambda: next(following, NotImplemented))

    def forget(self) -> None:
        """As etcd when it is compacted: versions before now are too old from here on."""
        with self._lock:
            self._version += 1
            self._oldest = self._version

    def update(self, name: Name, change: Callable[[Json], None]) -> None:
        with self._lock:
            if name in self.pods:
                change(self.pods[name])
                self._record("MODIFIED", self.pods[name])

    def put(self, pod: Json) -> None:
        with self._lock:
            metadata = pod["metadata"]
            metadata.setdefault("uid", f"uid-{self._version}")
            metadata.setdefault("creationTimestamp", f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
            self.pods[metadata["namespace"], metadata["name"]] = pod
            self._record("ADDED", pod)

    def vanish(self, name: Name) -> None:
        with self._lock:
            pod = self.pods.pop(name, None)
            if pod:
                self._record("DELETED", pod)
                self._collect_garbage(pod["metadata"]["uid"])

    def requests(self) -> set[tuple[str, str, str | None]]:
        """The requests so far, as RBAC sees them: verb, resource, namespace."""
        verbs = {"fetch": "get", "update": "patch"}
        seen = set()
        for request in self.server:
            action = (request.action.value if request.action else request.method.value).lower()
            verb = verbs.get(action, action).replace("put", "update")
            assert request.resource is not None
            resource = "/".join(filter(None, [str(request.resource.plural), request.subresource]))
            seen.add((verb, resource, request.namespace))
        return seen

    # What it answers

    def _serve(self) -> None:
        server = self.server
        server["list", PODS] << self._list_pods
        server["watch", PODS] << (lambda request: self._watched(request, self._events))
        server["fetch", PODS] << self._get_pod
        server["create", PODS] << self._create_pod
        server["delete", PODS] << self._delete_pod
        server["patch", PODS] << self._patch_pod
        server["watch", NODES] << (lambda request: self._watched(request, self._node_events))
        server["list", NODES] << (lambda request: self._listed(request, self.nodes.values()))
        server["fetch", SECRETS] << (lambda request: self._found(self.secrets, request))
        server["create", SECRETS] << self._create_secret
        server["create", CLAIMS] << self._create_claim
        server["put", SECRETS] << self._replace_secret
        server["delete", SECRETS] << self._delete_secret
        for kind, objects in ((SERVICES, self.services), (CONFIG_MAPS, self.config_maps)):
            server["create", kind] << partial(self._create_owned, objects)
            server["delete", kind] << partial(self._delete_owned, objects)

    def _list_pods(self, request: Any) -> Json:
        with self._lock:
            pods = [pod for name, pod in sorted(self.pods.items()) if _selected(request, pod)]
            return self._listed(request, pods)

    def _listed(self, request: Any, items: Any) -> Json:
        items = list(items)
        version, start = self._version, 0
        if token := request.params.get("continue"):
            version, start = map(int, urlsafe_b64decode(token).split(b":"))
            if version < self._oldest:
                raise error(410, "Expired", "The provided continue parameter is too old.")
        end = start + min(self.page, int(request.params.get("limit", self.page)))
        metadata = {"resourceVersion": str(version)}
        if end < len(items):
            metadata["continue"] = urlsafe_b64encode(b"%d:%d" % (version, end)).decode()
        return {"kind": "List", "metadata": metadata, "items": copy.deepcopy(items[start:end])}

    async def _watched(
        self, request: Any, events: list[tuple[int, str, Json]]
    ) -> AsyncIterator[Json | bytes]:
        yield b""
        version = int(request.params["resourceVersion"])
        until = time.monotonic() + float(request.params.get("timeoutSeconds", 60))
        while time.monotonic() < until:
            with self._lock:
                if version < self._oldest:
                    gone = _status(410, "Expired", f"too old resource version: {version}")
                    yield {"type": "ERROR", "object": gone}
                    return
                fresh = [event for event in events if event[0] > version]
            for number, kind, pod in fresh:
                version = number
                if _selected(request, pod):
                    yield {"type": kind, "object": pod}
            await asyncio.sleep(0.01)
        if request.params.get("allowWatchBookmarks") == "true":
            metadata = {"resourceVersion": str(version)}
            yield {"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": metadata}}

    def _get_pod(self, request: Any) -> Any:
        with self._lock:
            pod = self._found(self.pods, request)
        return pod if request.subresource is None else self._log(request, pod)

    def _log(self, request: Any, pod: Json) -> Any:
        container = request.params["container"]
        statuses = pod["status"].get("containerStatuses") or []
        waiting = [each["state"]["waiting"] for each in statuses if "waiting" in each["state"]]
        if waiting:
            reason = waiting[0]["reason"]
            message = (
                f'container "{container}" in pod "{request.name}" is waiting to start: {reason}'
            )
            raise error(400, "BadRequest", message)
        written = self.logs.get((request.namespace, request.name), [])
        stamp = STAMP if request.params.get("timestamps") == "true" else b""
        if request.params.get("follow") == "true":
            return self._followed((request.namespace, request.name), stamp)
        if request.params.get("sinceTime", "") > LAST_WRITTEN:
            return b""
        tail = int(request.params.get("tailLines", len(written)))
        return b"".join(stamp + line for line in written[max(0, len(written) - tail) :])

    async def _followed(self, name: Name, stamp: bytes) -> AsyncIterator[bytes]:
        yield b""
        sent = 0
        while True:
            with self._lock:
                written = self.logs.get(name, [])[sent:]
                phase = self.pods.get(name, {}).get("status", {}).get("phase")
            for line in written:
                sent += 1
                yield stamp + line
            if phase != "Running":
                return
            await asyncio.sleep(0.01)

    def _create_pod(self, request: Any) -> Json:
        pod: Json = copy.deepcopy(request.data)
        name = (request.namespace, pod["metadata"]["name"])
        with self._lock:
            self._check_namespace(request.namespace)
            if refusal := self.admit(pod):
                raise refusal
            if name in self.pods:
                raise error(409, "AlreadyExists", f'pods "{name[1]}" already exists')
            pod["metadata"] |= {"namespace": name[0], "uid": f"uid-{self._version}"}
            pod["status"] = {"phase": "Pending"}
            if request.params.get("dryRun") != "All":
                self.put(pod)
            return copy.deepcopy(pod)

    def _delete_pod(self, request: Any) -> Json:
        body = request.data or {}
        name = (request.namespace, request.name)
        with self._lock:
            pod = self._found(self.pods, request)
            metadata = pod["metadata"]
            wanted = body.get("preconditions", {}).get("uid", metadata["uid"])
            if wanted != metadata["uid"]:
                raise error(409, "Conflict", "the UID in the precondition is another one")
            grace = body.get("gracePeriodSeconds", pod["spec"]["terminationGracePeriodSeconds"])
            phase = pod["status"].get("phase")
            if not pod["spec"].get("nodeName") or phase in {"Succeeded", "Failed"}:
                grace = 0
            if grace == 0 and not metadata.get("finalizers"):
                self.vanish(name)
                return copy.deepcopy(pod)
            granted = min(grace, metadata.get("deletionGracePeriodSeconds", grace))
            due = datetime.now(UTC) + timedelta(seconds=granted)
            deletion = {
                "deletionTimestamp": due.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "deletionGracePeriodSeconds": granted,
            }
            self.update(name, lambda pod: pod["metadata"].update(deletion))
            return copy.deepcopy(pod)

    def _patch_pod(self, request: Any) -> Json:
        """A merge patch of annotations, finalizers or gates; a Pod that nothing keeps goes."""
        name = (request.namespace, request.name)
        with self._lock:
            pod = self._found(self.pods, request)
            given = (request.data or {}).get("metadata", {})
            for field in ("uid", "resourceVersion"):
                if given.get(field, pod["metadata"][field]) != pod["metadata"][field]:
                    raise error(409, "Conflict", "the object has been modified")
            if request.params.get("dryRun") == "All":
                return copy.deepcopy(pod)
            if annotations := given.get("annotations"):
                self.update(name, lambda pod: pod["metadata"]["annotations"].update(annotations))
            if (gates := (request.data or {}).get("spec", {}).get("schedulingGates")) is not None:
                assert len(gates) < len(pod["spec"]["schedulingGates"]), "gates only ever go"
                self.update(name, lambda pod: pod["spec"].update(schedulingGates=gates))
            if "finalizers" not in given:
                return copy.deepcopy(pod)
            self.update(name, lambda pod: pod["metadata"].update(finalizers=given["finalizers"]))
            metadata, phase = pod["metadata"], pod["status"].get("phase")
            deleted = metadata.get("deletionGracePeriodSeconds")
            is_over = phase in {"Succeeded", "Failed"} or not pod["spec"].get("nodeName")
            if not given["finalizers"] and deleted is not None and (deleted == 0 or is_over):
                self.vanish(name)
            return copy.deepcopy(pod)

    def _create_owned(self, objects: dict[Name, Json], request: Any) -> Json:
        thing: Json = copy.deepcopy(request.data)
        name = (request.namespace, thing["metadata"]["name"])
        with self._lock:
            self._check_namespace(request.namespace)
            if name in objects:
                raise error(409, "AlreadyExists", f'"{name[1]}" already exists')
            objects[name] = thing
            return copy.deepcopy(thing)

    def _delete_owned(self, objects: dict[Name, Json], request: Any) -> Json:
        with self._lock:
            self._found(objects, request)
            return objects.pop((request.namespace, request.name))

    def _collect_garbage(self, uid: str) -> None:
        """Delete what belongs to the object that has gone."""
        for objects in (self.services, self.config_maps, self.secrets):
            for name, thing in list(objects.items()):
                owners = thing["metadata"].get("ownerReferences") or ()
                if [each["uid"] for each in owners] == [uid]:
                    del objects[name]

    def _create_secret(self, request: Any) -> Json:
        secret: Json = copy.deepcopy(request.data)
        name = (request.namespace, secret["metadata"]["name"])
        with self._lock:
            self._check_namespace(request.namespace)
            if name in self.secrets:
                raise error(409, "AlreadyExists", f'secrets "{name[1]}" already exists')
            return self._stored(name, secret)

    def _create_claim(self, request: Any) -> Json:
        name = (request.namespace, request.data["metadata"]["name"])
        with self._lock:
            self._check_namespace(request.namespace)
            if self.no_claims:
                raise error(403, "Forbidden", self.no_claims)
            if name in self.claims:
                raise error(409, "AlreadyExists", f'claims "{name[1]}" already exists')
            self.claims[name] = copy.deepcopy(request.data)
            return copy.deepcopy(request.data)

    def _replace_secret(self, request: Any) -> Json:
        name = (request.namespace, request.name)
        with self._lock:
            there = self._found(self.secrets, request)
            secret: Json = copy.deepcopy(request.data)
            if secret["metadata"].get("resourceVersion") != there["metadata"]["resourceVersion"]:
                raise error(409, "Conflict", "the object has been modified")
            return self._stored(name, secret)

    def _delete_secret(self, request: Any) -> Json:
        with self._lock:
            self._found(self.secrets, request)
            return self.secrets.pop((request.namespace, request.name))

    def _stored(self, name: Name, secret: Json) -> Json:
        self._version += 1
        secret["metadata"] |= {"resourceVersion": str(self._version)}
        self.secrets[name] = secret
        return copy.deepcopy(secret)

    def _found(self, objects: dict[Name, Json], request: Any) -> Json:
        if (request.namespace, request.name) not in objects:
            raise error(404, "NotFound", f'{request.resource.plural} "{request.name}" not found')
        return objects[request.namespace, request.name]

    def _check_namespace(self, namespace: str) -> None:
        if namespace not in self.namespaces:
            raise error(404, "NotFound", f'namespaces "{namespace}" not found')

    def _record(self, kind: str, thing: Json, *, of_nodes: bool = False) -> None:
        self._version += 1
        thing["metadata"]["resourceVersion"] = str(self._version)
        events = self._node_events if of_nodes else self._events
        events.append((self._version, kind, copy.deepcopy(thing)))


def error(status: int, reason: str, message: str) -> kmock.KubernetesError:
    return kmock.KubernetesError(status=status, reason=reason, message=message)


def _status(code: int, reason: str, message: str) -> Json:
    return {"kind": "Status", "code": code, "reason": reason, "message": message}


def _selected(request: Any, pod: Json) -> bool:
    if request.namespace not in {None, pod["metadata"].get("namespace")}:
        return False
    labels = pod["metadata"].get("labels") or {}
    for each in re.split(r",(?![^(]*\))", request.params.get("labelSelector") or ""):
        name, _, value = each.partition(" in " if " in " in each else "=")
        allowed = value.strip("()").split(",")
        if name and labels.get(name) not in allowed:
            return False
    for each in filter(None, (request.params.get("fieldSelector") or "").split(",")):
        name, _, value = each.partition("!=")
        assert name == "status.phase"
        if pod.get("status", {}).get("phase") == value:
            return False
    return True


@contextmanager
def served(api: FakeApi) -> Iterator[FakeApi]:
    """Serves the API in a thread of its own, on a port of its own."""
    loop = asyncio.new_event_loop()
    ready, over = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with api.server, kmock.Server(api.server) as server:
            api.url = str(server.url).rstrip("/")
            ready.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield api
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()
