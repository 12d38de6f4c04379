"""What schedules and runs Pods on the tests' API server: a scheduler and a kubelet, much reduced.

A Pod's command says what becomes of it: see PROGRAMS. A program of another name is not there, and
neither is an image of the registry nowhere.test.
"""

import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from deployments.tests.runtimes.kubernetes.api_server import FakeApi, Json, Name

AT = "2026-01-01T00:00:00Z"
LATER = "2026-01-01T00:00:05Z"
PROGRAMS = {
    "sleep",  # runs until it is stopped
    "deaf",  # until its time is up
    "exit",  # ends with the code that it is given
    "say",  # writes each word as a line, and ends with 0
    "reveal",  # writes what a variable is, and what is in a file of secrets
    "chat",  # writes them, and then sleeps
}


class Kubelet:
    """One step moves each Pod on by one state, so that tests see the states in between."""

    def __init__(self, api: FakeApi) -> None:
        self._api = api
        self.hooks: list[list[str]] = []  # the pre-stop commands that have run, in order

    def step(self) -> None:
        for name, pod in list(self._api.pods.items()):
            status = pod["status"]
            if pod["metadata"].get("deletionTimestamp"):
                self._end(name, pod)
            elif pod["spec"].get("schedulingGates"):
                continue
            elif not pod["spec"].get("nodeName"):
                self._schedule(name, pod)
            elif status["phase"] == "Pending":
                self._begin(name, pod)
            elif status["phase"] == "Running":
                self._go_on(name, pod)

    def run(self, steps: int = 4) -> None:
        for _ in range(steps):
            self.step()

    def _schedule(self, name: Name, pod: Json) -> None:
        terms = pod["spec"]["affinity"]["nodeAffinity"][
            "requiredDuringSchedulingIgnoredDuringExecution"
        ]["nodeSelectorTerms"]
        [node] = terms[0]["matchFields"][0]["values"]
        if node not in self._api.nodes:
            condition = {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": f"0/{len(self._api.nodes)} nodes are available.",
            }
            if pod["status"].get("conditions") != [condition]:
                self._api.update(name, lambda pod: pod["status"].update(conditions=[condition]))
            return

        def bind(pod: Json) -> None:
            pod["spec"]["nodeName"] = node
            waiting = {"waiting": {"reason": "ContainerCreating"}}
            pod["status"].update(containerStatuses=[_container(waiting)], conditions=[])

        self._api.update(name, bind)

    def _begin(self, name: Name, pod: Json) -> None:
        program, words = _command(pod)
        if pod["spec"]["containers"][0]["image"].startswith("nowhere.test/"):
            self._pull_in_vain(name, pod)
            return
        if missing := self._missing_config_map(name, pod):
            waiting = {
                "reason": "CreateContainerConfigError",
                "message": f'configmap "{missing}" not found',
            }
            if pod["status"]["containerStatuses"][0]["state"] != {"waiting": waiting}:
                self._set(name, "Pending", {"waiting": waiting}, [])
            return
        if program not in PROGRAMS:
            said = f'exec: "{program}": executable file not found in $PATH'
            self._finish(name, exitCode=128, reason="StartError", message=said)
            return
        if program in {"say", "chat"}:
            self._api.logs[name] = [f"{word}\n".encode() for word in words]
        if program == "reveal":
            self._api.logs[name] = [
                f"{value}\n".encode() for value in self._given(name, pod, words)
            ]
        state = {"running": {"startedAt": AT}}
        ready = [{"type": "Ready", "status": "True"}]
        self._set(name, "Running", state, ready)

    def _go_on(self, name: Name, pod: Json) -> None:
        program, words = _command(pod)
        if program in {"exit", "say", "reveal"}:
            code = int(words[0]) if program == "exit" else 0
            reason = "Error" if code else "Completed"
            self._finish(name, exitCode=code, reason=reason, startedAt=AT, finishedAt=LATER)

    def _end(self, name: Name, pod: Json) -> None:
        """Stops the process, and deletes the Pod at the API server once the process has ended."""
        program, _ = _command(pod)
        if pod["status"]["phase"] == "Running":
            is_first_process = not pod["spec"].get("shareProcessNamespace")
            is_deaf = program == "deaf" or is_first_process  # the kernel keeps SIGTERM from it
            if is_deaf and pod["metadata"]["deletionGracePeriodSeconds"] > 1:
                return
            hook = pod["spec"]["containers"][0].get("lifecycle", {}).get("preStop")
            if hook:
                self.hooks.append(hook["exec"]["command"])
            self._finish(name, exitCode=143, reason="Error", startedAt=AT, finishedAt=LATER)
        elif not pod["metadata"].get("finalizers"):
            self._api.vanish(name)
        elif pod["status"]["phase"] == "Pending":  # its container has never begun
            self._api.update(name, lambda pod: pod["status"].update(phase="Failed"))

    def _missing_config_map(self, name: Name, pod: Json) -> str | None:
        """What a variable of the container comes from, and is not there."""
        sources = [each.get("valueFrom") or {} for each in pod["spec"]["containers"][0]["env"]]
        wanted = [each["configMapKeyRef"]["name"] for each in sources if "configMapKeyRef" in each]
        there = self._api.config_maps
        return next((each for each in wanted if (name[0], each) not in there), None)

    def _given(self, name: Name, pod: Json, words: list[str]) -> Iterator[str]:
        """The variable and the file of secrets that the words name, as a container gets them."""
        variable, path = words
        container = pod["spec"]["containers"][0]
        [by_name] = [each for each in container["env"] if each["name"] == variable]
        reference = by_name["valueFrom"]["secretKeyRef"]
        yield self._content(name, reference["name"], reference["key"])
        [mount] = [
            each for each in container["volumeMounts"] if each["mountPath"] == "/run/secrets"
        ]
        [volume] = [each for each in pod["spec"]["volumes"] if each["name"] == mount["name"]]
        [item] = [each for each in volume["secret"]["items"] if each["path"] == path]
        yield self._content(name, volume["secret"]["secretName"], item["key"])

    def _content(self, pod: Name, secret: str, key: str) -> str:
        return b64decode(self._api.secrets[pod[0], secret]["data"][key]).decode()

    def _pull_in_vain(self, name: Name, pod: Json) -> None:
        [container] = pod["status"]["containerStatuses"]
        first = container["state"]["waiting"]["reason"] == "ContainerCreating"
        reason = "ErrImagePull" if first else "ImagePullBackOff"
        if container["state"]["waiting"]["reason"] != reason:
            waiting = {"reason": reason, "message": "nowhere.test/train:1: not found"}
            self._set(name, "Pending", {"waiting": waiting}, [])

    def _finish(self, name: Name, **terminated: Any) -> None:
        phase = "Failed" if terminated["exitCode"] else "Succeeded"
        self._set(name, phase, {"terminated": terminated}, [])

    def _set(self, name: Name, phase: str, state: Json, conditions: list[Json]) -> None:
        status = {
            "phase": phase,
            "containerStatuses": [_container(state)],
            "conditions": conditions,
        }
        self._api.update(name, lambda pod: pod["status"].update(status))


def _container(state: Json) -> Json:
    return {"name": "main", "state": state, "ready": "running" in state}


def _command(pod: Json) -> tuple[str, list[str]]:
    container = pod["spec"]["containers"][0]
    program, *words = [*container.get("command", ()), *container.get("args", ())] or ["sleep"]
    return program, words


@contextmanager
def running(api: FakeApi) -> Iterator[Kubelet]:
    """Lets the kubelets work by themselves, as real ones do."""
    kubelet, over = Kubelet(api), threading.Event()

    def work() -> None:
        while not over.wait(0.02):
            kubelet.step()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield kubelet
    finally:
        over.set()
        thread.join(10)
