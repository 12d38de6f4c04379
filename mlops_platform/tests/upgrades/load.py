"""Users who submit, read and stop while the platform is upgraded under them."""

import http.client
import json
import random
import threading
import time
from typing import Any, NamedTuple
from uuid import uuid4

from mlops_platform.tests.upgrades.installation import HOST

TIMEOUT_S = 120.0
PAUSE_S = 0.1


class Answer(NamedTuple):
    status: int
    body: Any


class Proxy:
    """Sends each request to one of the web servers that are listed, as a proxy in front would; to
    another one where the connection fails, for requests that may be repeated."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        self.token = ""
        self.server_errors: list[str] = []

    def call(
        self, method: str, path: str, body: Any = None, *, port: int | None = None, **headers: str
    ) -> Answer:
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                answer = self._send(port or random.choice(self.ports), method, path, body, headers)
            except (OSError, http.client.HTTPException):
                assert time.monotonic() < deadline, f"{method} {path}: no server answers"
                time.sleep(0.05)
                continue
            if answer.status >= 500:
                self.server_errors.append(f"{method} {path}: {answer.status} {answer.body}")
            return answer

    def _send(
        self, port: int, method: str, path: str, body: Any, headers: dict[str, str]
    ) -> Answer:
        connection = http.client.HTTPConnection(HOST, port, timeout=TIMEOUT_S)
        sent = {"Content-Type": "application/json", "Connection": "close"}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        is_json = "json" in answer.headers.get("Content-Type", "")
        return Answer(answer.status, json.loads(content) if is_json else content)


class Load:
    """`with Load(...) as load`: users at work until the block ends."""

    def __init__(self, proxy: Proxy, cluster: str, users: int = 2) -> None:
        self.submitted: set[str] = set()
        self.stopped: set[str] = set()
        self.refused: list[str] = []
        self._proxy, self._cluster = proxy, cluster
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(users)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def more(self, count: int) -> None:
        """Return after so many more submits have been acknowledged."""
        wanted = len(self.submitted) + count
        deadline = time.monotonic() + TIMEOUT_S
        while len(self.submitted) < wanted:
            assert time.monotonic() < deadline, (self.refused, self._proxy.server_errors)
            time.sleep(0.05)

    def _work(self) -> None:
        while not self._end.wait(PAUSE_S):
            answer = self._proxy.call(
                "POST",
                "/api/deployments",
                workload(self._cluster, priority=random.choice(["LOW", "LOW", "HIGH"])),
                Idempotency_Key=str(uuid4()),
            )
            if answer.status not in {200, 201}:
                self.refused.append(f"submit: {answer}")
                continue
            key = answer.body["id"]
            self.submitted.add(key)
            read = self._proxy.call("GET", f"/api/deployments/{key}")
            if read.status != 200:
                self.refused.append(f"read: {read}")
            if random.random() < 0.3:
                stop = self._proxy.call("DELETE", f"/api/deployments/{key}")
                if stop.status not in {200, 202, 204}:
                    self.refused.append(f"stop: {stop}")
                self.stopped.add(key)


def workload(cluster: str, **columns: Any) -> dict[str, Any]:
    return {
        "cluster_id": cluster,
        "name": "train",
        "image": "registry.example.com/train:1",
        "required_cpu": 1,
        "required_ram": 1024,
        "required_gpu": 1,
        "env": {"SEED": "42"},
        "simulated_runtime_s": 1,
        **columns,
    }


def set_up(proxy: Proxy) -> tuple[str, str]:
    """A user and two clusters: in one most have to wait, in the other everything starts at once."""
    name = {"username": "olga", "password": "correct-horse-battery"}
    assert proxy.call("POST", "/api/users/register", name).status == 201
    proxy.token = proxy.call("POST", "/api/users/login", name).body["access_token"]
    organization = proxy.call("POST", "/api/orgs/create", {"name": "Lab"}).body["id"]
    sizes = {"tight": 4, "roomy": 1000}
    clusters = [create_cluster(proxy, organization, name, size) for name, size in sizes.items()]
    return clusters[0], clusters[1]


def create_cluster(proxy: Proxy, organization: str, name: str, size: int) -> str:
    body = {"organization_id": organization, "name": name, "total_ram": size * 1024}
    answer = proxy.call("POST", "/api/clusters", body | {"total_cpu": size, "total_gpu": size})
    assert answer.status == 201, answer
    return str(answer.body["id"])
