"""A Docker engine on a real socket, in memory, which a test lets do harm."""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from deployments.tests.runtimes.hostile import Request, chunked, dripping, whole

VERSION = {"ApiVersion": "1.44", "MinAPIVersion": "1.24"}
INFO = {"NCPU": 64, "MemTotal": 256 * 1024**3, "Architecture": "x86_64", "OSType": "linux"}


def engine(answer: Callable[[Request], Iterable[bytes] | None]) -> "DockerEngine":
    """An engine that is sound where `answer` has no answer of its own."""
    sound = DockerEngine()
    sound.own = answer
    return sound


class DockerEngine:
    """Its containers run, or with `ends` end as soon as they have started.

    `answers` replace its own, by a fragment of the path; `images` that are missing are pulled.
    """

    def __init__(self) -> None:
        self.ends = False
        self.missing_images = False
        self.containers: dict[str, dict[str, Any]] = {}
        self.answers: dict[str, Callable[[], Iterable[bytes]]] = {}
        self.own: Callable[[Request], Iterable[bytes] | None] = lambda _: None

    def __call__(self, request: Request) -> Iterable[bytes]:
        for fragment, answer in self.answers.items():
            if fragment in request.path:
                return answer()
        own = self.own(request)
        return self._sound(request) if own is None else own

    def _sound(self, request: Request) -> Iterable[bytes]:
        parts = urlsplit(request.path)
        path, query = parts.path, parse_qs(parts.query)
        name = path.rpartition("/containers/")[2].partition("/")[0]
        if path.endswith("/version"):
            return whole(VERSION)
        if path.endswith("/info"):
            return whole(INFO)
        if path.endswith("/events"):
            return chunked(self._past() if "until" in query else dripping(b"\n", 0.5))
        if path.endswith("/images/create"):
            self.missing_images = False
            return chunked([b'{"status": "Downloaded"}\n'])
        if path.endswith("/containers/json"):
            return whole([_listed(each) for each in self.containers.values()])
        if path.endswith("/containers/create"):
            return self._create(query["name"][0], json.loads(request.body))
        if name not in self.containers:
            return whole({"message": f"No such container: {name}"}, 404)
        return self._about(name, request.method, path)

    def _past(self) -> list[bytes]:
        """The events that it remembers: each container that has ended did so by itself."""
        ended = [each for each in self.containers.values() if "FinishedAt" in each["State"]]
        events = [{"Action": "die", "Actor": {"ID": each["Id"]}} for each in ended]
        return [json.dumps(each).encode() + b"\n" for each in events]

    def _create(self, name: str, config: dict[str, Any]) -> Iterator[bytes]:
        if self.missing_images:
            return whole({"message": "No such image: it"}, 404)
        state = {"Status": "created", "Error": "", "Running": False}
        self.containers[name] = {"Id": name, "State": state, "Config": config}
        return whole({"Id": name}, 201)

    def _about(self, name: str, method: str, path: str) -> Iterable[bytes]:
        state = self.containers[name]["State"]
        now = datetime.now(UTC).isoformat()
        if path.endswith("/start"):
            state.update(Status="running", Running=True, StartedAt=now)
            if self.ends:
                self.end(name, 1)
        elif path.endswith("/kill"):
            self.end(name, 137)
        elif path.endswith("/logs"):
            return chunked([])
        elif method == "DELETE":
            del self.containers[name]
        else:
            return whole(self.containers[name])
        return whole(b"", 204)

    def end(self, name: str, exit_code: int) -> None:
        now = datetime.now(UTC).isoformat()
        self.containers[name]["State"].update(
            Status="exited", Running=False, ExitCode=exit_code, FinishedAt=now
        )


def _listed(container: dict[str, Any]) -> dict[str, Any]:
    state = container["State"]["Status"]
    labels = container["Config"]["Labels"]
    return {"Id": container["Id"], "State": state, "Status": state, "Labels": labels}
