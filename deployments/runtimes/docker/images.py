"""Pulls images: with which credentials, and what the engine reports meanwhile."""

import re
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from typing import Any

from docker.auth import encode_header, resolve_repository_name
from docker.errors import DockerException
from docker.utils import parse_repository_tag

from deployments.runtimes.base import (
    Code,
    ImageDelayed,
    Problem,
    RefusedError,
    Registry,
    one_line,
)
from deployments.runtimes.docker.client import Answered, Engine, lines, ticking
from deployments.runtimes.image_names import DOCKER_HUB, storable
from deployments.runtimes.limits import parsed
from deployments.runtimes.pull_errors import is_final
from deployments.runtimes.streams import paced

LIMIT_S = 3600.0
QUIET_S = 300.0  # a registry may be slow, and a large layer takes time to unpack
TICK_S = 1.0
MOST_REPORTS_PER_S = 1000
PROGRESS_BYTES = 256 * 1024 * 1024  # of an hour's reports; a layer makes ten a second
LIST_EVERY_S = 60.0
DIGEST = re.compile("sha256:[0-9a-f]{64}")
PROXY_ERRORS = (401, 403, 407, 429, 502, 503, 504)  # of a proxy in front of the engine


def pull(
    engine: Engine,
    image: str,
    registries: Sequence[Registry],
    limit_s: float = LIMIT_S,
    wanted: Callable[[], bool] = lambda: True,
) -> None:
    """Raises RuntimeUnavailable; RefusedError or ImageDelayed with the engine's message.

    `wanted` is called about once a second: the pull ends where it answers False.
    """
    until = time.monotonic() + limit_s
    try:
        params, headers = _pull_request(image, registries)
        answer = engine.stream(
            "post",
            "/images/create",
            QUIET_S,
            within_s=limit_s + 60,
            most_bytes=PROGRESS_BYTES,
            params=params,
            headers=headers,
        )
        with closing(ticking(answer, TICK_S)) as body:  # closing it ends an unfinished pull
            asked_at = time.monotonic()
            for line in paced(lines(body), MOST_REPORTS_PER_S):
                if line and "error" in (progress := parsed(line)):
                    raise _failed(image, progress["error"], registries)
                now = time.monotonic()
                if now > until:
                    raise ImageDelayed(f"It took more than {limit_s:.0f} s.")
                if now > asked_at + TICK_S:
                    if not wanted():
                        return
                    asked_at = now
    except Answered as error:
        if error.status in PROXY_ERRORS:
            raise
        raise _failed(image, error, registries) from error


class Images:
    """The names of an engine's images, listed now and then: a list costs the engine some time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._list_at = 0.0

    def forget(self) -> None:
        """One has been pulled: the next question is answered by a new list."""
        self._list_at = 0.0

    def names(self) -> tuple[str, ...] | None:
        """None where they were listed a moment ago, or the engine lists none. Raises
        RuntimeUnavailable."""
        now = time.monotonic()
        if now < self._list_at:
            return None
        self._list_at = now + LIST_EVERY_S
        try:
            found: Any = self._engine.call(lambda client: client.images())
        except Answered:  # nothing else depends on it
            return None
        return storable(
            name
            for image in found
            for names in (image.get("RepoTags"), image.get("RepoDigests"))
            for name in names or ()
        )


class Digests:
    """The digests of an engine's images, of which each is inspected once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._names: dict[str, list[str]] = {}  # of an image with their digests, by its id

    def of(self, image_id: object, reference: object) -> str:
        """The digest by which the reference's repository has the image; that of another repository,
        or else the image's own id, where it was not pulled from there. Raises RuntimeUnavailable.
        """
        if not isinstance(image_id, str) or not DIGEST.fullmatch(image_id):
            return ""
        if image_id not in self._names:
            self._names[image_id] = self._inspected(image_id)
        repository = _repository(str(reference))
        digests = {_repository(name): name.rpartition("@")[2] for name in self._names[image_id]}
        return digests.get(repository) or next(iter(digests.values()), image_id)

    def keep(self, image_ids: Collection[object]) -> None:
        """Forget all others."""
        self._names = {id_: names for id_, names in self._names.items() if id_ in image_ids}

    def _inspected(self, image_id: str) -> list[str]:
        try:
            found: Any = self._engine.call(lambda client: client.inspect_image(image_id))
        except Answered as error:
            if error.status == 404:  # it was removed under its container
                return []
            raise
        names = found.get("RepoDigests") or []
        return [name for name in names if DIGEST.fullmatch(str(name).rpartition("@")[2])]


def _repository(reference: str) -> str:
    """With its registry, and without tag and digest; the reference itself where it is none."""
    try:
        return "/".join(resolve_repository_name(parse_repository_tag(reference)[0]))
    except DockerException:
        return reference


def credentials(image: str, registries: Sequence[Registry]) -> Registry | None:
    """Of the registries that the reference begins with, the longest."""
    host, repository = resolve_repository_name(parse_repository_tag(image)[0])
    reference = f"{host}/{repository}"
    matching = [
        registry for registry in registries if f"{reference}/".startswith(f"{_host(registry)}/")
    ]
    return max(matching, key=lambda registry: len(_host(registry)), default=None)


def _host(registry: Registry) -> str:
    host = registry.host.removeprefix("https://").removesuffix("/v1/").rstrip("/")
    return DOCKER_HUB if host in {"index.docker.io", "registry-1.docker.io"} else host


def _pull_request(
    image: str, registries: Sequence[Registry]
) -> tuple[dict[str, str], dict[str, str]]:
    repository, tag = parse_repository_tag(image)
    try:
        registry = credentials(image, registries)
    except DockerException as error:
        raise RefusedError(Problem(Code.IMAGE_PULL_FAILED, one_line(error))) from error
    headers = {}
    if registry is not None:
        login = {"username": registry.username, "password": registry.password}
        headers["X-Registry-Auth"] = encode_header(
            {**login, "serveraddress": _host(registry)}
        ).decode()
    return {"fromImage": repository, "tag": tag or "latest"}, headers


def _failed(
    image: str, said: object, registries: Sequence[Registry]
) -> RefusedError | ImageDelayed:
    sentence = str(said)
    for registry in registries:
        if registry.password:
            sentence = sentence.replace(registry.password, "…")
    if not is_final(sentence, image):
        return ImageDelayed(sentence)
    return RefusedError(Problem(Code.IMAGE_PULL_FAILED, one_line(sentence)))
