"""The interface of every runtime.

A runtime connects to one endpoint: a Docker engine, which is one node, or a Kubernetes API server
with all of its nodes. Its calls are idempotent and keyed by deployment, attempt and replica, so a
worker that was killed half-way repeats them. It knows nothing of queues or the database.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from threading import Event
from typing import Final, Literal, NamedTuple, Protocol

from deployments.runtimes.fetches import Fetch
from deployments.runtimes.mounts import Mount
from deployments.runtimes.peers import Peers

IF_MISSING: Final = "if_missing"  # a pull policy


class RuntimeUnavailable(Exception):  # noqa: N818 - a state of the endpoint, not a mistake
    """The endpoint gave no usable answer: it refused, timed out, or had an error. Try later."""


class LimitExceeded(RuntimeUnavailable):
    """A conversation took longer, or its answer was larger, than is allowed (limits.py)."""


class AnswerTooLarge(LimitExceeded):
    """The answer had more bytes than is allowed, or more values than a sound one."""


class AccessDenied(RuntimeUnavailable):
    """The endpoint answers, and does not let the platform in: a certificate or a token has expired,
    or is refused. So the machine is there, and what runs on it goes on."""


class OutOfTime(RuntimeUnavailable):
    """The caller's own deadline is over, which says nothing of the endpoint."""


class RefusedError(Exception):
    """The runtime will never start this launch spec. `problem` has its own message."""

    def __init__(self, problem: "Problem") -> None:
        super().__init__(problem.message)
        self.problem = problem


class ImageMissing(Exception):  # noqa: N818 - not an error: `pull` comes first
    """The node does not have the image: `pull` it, which may take long, and start again."""


class ImageDelayed(Exception):  # noqa: N818 - not an error of the image: a later pull may succeed
    """The image could not be pulled this time, and no answer says that it never can."""

    def __init__(self, said: str) -> None:
        super().__init__(one_line(said))


class DataAwaited(Exception):  # noqa: N818 - not an error: fetching takes time
    """What the replicas mount is being fetched, and none was started: start them again later."""


class Code(StrEnum):
    """The problems of a replica. The codes are among the reason codes of the REST API."""

    PULLING_IMAGE = "PULLING_IMAGE"  # no fault: it takes time
    IMAGE_PULL_DELAYED = "IMAGE_PULL_DELAYED"  # it failed, and is tried again
    IMAGE_PULL_FAILED = "IMAGE_PULL_FAILED"  # for good: there is no such image, or no access to it
    FETCHING_DATA = "FETCHING_DATA"  # no fault: it takes time
    FETCH_DELAYED = "FETCH_DELAYED"  # a bucket could not be fetched, and is tried again
    FETCH_FAILED = "FETCH_FAILED"  # for good: no such bucket, no access, or more than is allowed
    COMMAND_FAILED = "COMMAND_FAILED"  # there is no such program, or it may not be executed
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    OUT_OF_DISK = "OUT_OF_DISK"  # it has written more scratch than it may
    EXITED = "EXITED"  # an exit code other than 0; details: exit_code
    REFUSED = "REFUSED"  # the runtime does not accept the launch spec
    UNSCHEDULABLE = "UNSCHEDULABLE"  # its node does not have the space
    DISRUPTED = "DISRUPTED"  # ended by the machine or its operators, through no fault of its own
    NOT_READY = "NOT_READY"  # it runs, and its readiness probe does not pass
    PAUSED = "PAUSED"  # its processes get no time until that is undone at its engine


@dataclass(frozen=True, slots=True)
class Problem:
    """A code and the runtime's message: one line of at most 500 characters, without secrets."""

    code: Code
    message: str = ""


class Key(NamedTuple):
    """One replica of one attempt of a deployment, which becomes one container or Pod."""

    deployment_id: str
    attempt: int  # from 1; each admission begins one
    replica: int  # from 0


class Phase(StrEnum):
    PENDING = "PENDING"  # created, and without a process yet
    RUNNING = "RUNNING"
    ENDED = "ENDED"  # the process has ended, or can never start


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """What a runtime shows of a replica. A replica that is not shown does not exist."""

    key: Key
    phase: Phase
    begun: bool = True  # False: created and not started, so that `start` starts it
    created_at: datetime | None = None  # known of one that has not begun
    ready: bool = False  # it runs, and passes its readiness probe, if it has one
    stopping: bool = False  # a stop is under way
    exit_code: int | None = None
    problem: Problem | None = None
    started_at: datetime | None = None  # of the process, by the machine's clock
    ended_at: datetime | None = None
    node: str | None = None  # the name of its node
    id: str = ""  # of this very container or Pod
    renamed: bool = False  # it has the replica's labels, and from others another name
    image_digest: str = ""  # in its registry, else the image's own id; "": not known (yet)


@dataclass(frozen=True, slots=True)
class Probe:
    """A readiness probe, which runs inside the container's own network."""

    kind: Literal["http", "tcp", "command"]
    port: int = 0  # http, tcp
    path: str = "/"  # http: ready if the answer is 200 to 399
    command: tuple[str, ...] = ()  # command: ready if it exits with 0
    interval_s: int = 5
    timeout_s: int = 2


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The limits of a container. Only an operator may loosen the defaults."""

    pids_limit: int = 4096
    add_capabilities: tuple[str, ...] = ()  # all others are dropped
    allow_privilege_escalation: bool = False
    read_only_root: bool = False
    network: str = "bridge"  # Docker: the network's name, or "none"; never "host" or "container:…"


class ReplicaPlacement(NamedTuple):
    """One replica and its node."""

    replica: int
    node: str  # the node's name, as the runtime knows it


@dataclass(frozen=True, slots=True)
class Registry:
    """Credentials for images whose reference begins with `host`."""

    host: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Container:
    """What a user sets of a container. Empty: as the image has it."""

    shm_mib: int | None = None  # of /dev/shm; None: half of the RAM
    user: str = ""  # "1000" or "1000:100"
    workdir: str = ""
    ulimits: Mapping[str, int] = field(default_factory=dict)  # -1: unlimited
    ephemeral_mib: int | None = None  # what it may write beside its volumes; None: no limit
    pull_policy: Literal["if_missing", "always"] = IF_MISSING
    stop_signal: str = ""  # SIGUSR1; a runtime of Kubernetes knows none but the image's
    pre_stop: Sequence[str] = ()  # runs in the container before its stop signal
    checkpoint_file: str = ""  # the reconciler reads it


SECRETS = "/run/secrets"  # the folder of their files, in a container


@dataclass(frozen=True, slots=True)
class Secrets:
    """What a container gets of secrets, and nothing else may see: variables by name, and the
    content of files by their path below SECRETS. `document`: for the program that fetches buckets,
    in a container of its own, and no other."""

    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    document: str = field(default="", repr=False)

    def __bool__(self) -> bool:
        return bool(self.env or self.files or self.document)


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """The replicas of one attempt that are placed at one endpoint, and how to run them."""

    deployment_id: str
    attempt: int
    placement: Sequence[ReplicaPlacement]
    name: str
    image: str
    cpu_milli: int  # of each replica, as are the next two
    ram_mib: int
    gpu: int
    command: Sequence[str] = ()  # replaces the image's entry point, if given
    args: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    grace_s: int = 30
    probe: Probe | None = None
    labels: Mapping[str, str] = field(default_factory=dict)  # for people: organization, owner
    sandbox: Sandbox = Sandbox()
    container: Container = Container()
    mounts: Sequence[Mount] = ()
    peers: Peers | None = None  # of a gang
    secrets: Secrets = Secrets()
    fetch: Fetch | None = None  # before the program starts

    @property
    def shm_mib(self) -> int:
        """The size of /dev/shm. What is written there counts as RAM of the container."""
        return min(self.container.shm_mib or max(self.ram_mib // 2, 1), self.ram_mib)

    @property
    def tmp_mib(self) -> int | None:
        """The size of a /tmp in memory, where nothing else of the root may be written, and no
        volume is there."""
        is_mounted = any(mount.path == "/tmp" for mount in self.mounts)  # noqa: S108 - the container's
        if is_mounted or not self.sandbox.read_only_root:
            return None
        return max(self.ram_mib // 2, 1)

    def env_of(self, replica: int) -> dict[str, str]:
        """The environment of one replica, which contains its number and how to find the others."""
        env = self.env if self.peers is None else self.peers.env_of(replica, self.env)
        return {**env, "MLOPS_REPLICA": str(replica)}


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a node offers the platform. GPUs are None where the runtime cannot tell."""

    node: str
    cpu_milli: int
    ram_mib: int
    gpu: int | None
    labels: Mapping[str, str] = field(default_factory=dict)
    ready: bool = True
    cordoned: bool = False
    reason: str = ""  # why it is not ready, or cordoned
    machine: str = ""  # a unique id, the same by every address; empty if the runtime has none
    images: Sequence[str] | None = None  # their canonical names (image_names.py); None: as before


NODES_CHANGED = "*"  # no deployment has this id

Guard = Callable[[str], str | None]  # why an IP address may not be connected to, or None


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach an endpoint. Certificates and the key are PEM text.

    The guard checks the address that a connection has reached before anything is sent, so a name
    that resolves to another address later does no harm.
    """

    url: str
    ca: str = ""
    cert: str = ""
    key: str = field(default="", repr=False)
    token: str = field(default="", repr=False)  # a bearer token
    guard: Guard | None = None


class Runtime(Protocol):
    """Every call raises RuntimeUnavailable where the endpoint gives no usable answer in time."""

    pulls_by_itself: bool  # also as the launch spec's pull policy says

    def prepare(self, launch_spec: LaunchSpec) -> None:
        """Create what `start` would start, as far as it does not exist, without starting it.

        A gang on several endpoints is prepared at all of them before it is started at any. Raises
        what `start` raises.
        """

    def start(self, launch_spec: LaunchSpec) -> None:
        """Start those of the replicas that do not exist; replicas that exist stay as they are.

        Raises ImageMissing and DataAwaited (no replica was started) and RefusedError.
        """

    def pull(self, image: str, wanted: Callable[[], bool] = lambda: True) -> None:
        """Pull the image, which may take long; returns at once if the runtime pulls by itself
        (`pulls_by_itself`).

        `wanted` is called about once a second; the pull ends, and its connection is closed, once
        the image is not wanted any more. Raises RefusedError with IMAGE_PULL_FAILED if there is no
        such image, or no access to it, and ImageDelayed if it failed for any other reason.
        """

    def stop(self, key: Key, grace_s: int, seen: str = "") -> None:
        """Stop the replica without waiting for its end; with 0, kill it.

        Its pre-stop command comes first, which takes its time from the grace, and may run again
        where a worker was killed. Another worker's call does not begin one that runs anew.
        Leaves a replica alone that has ended or does not exist; removes one that never started.
        `seen` is the id that an observation has shown: what has taken its place since is left
        alone. Without it, what has the replica's name is stopped.
        """

    def remove(self, key: Key, seen: str = "") -> None:
        """Remove the replica and its log; kills it first if it runs. `seen` as for `stop`."""

    def touched_at(self, key: Key, path: str, seen: str = "") -> datetime | None:
        """When a file of the running replica was last written, by its machine's clock; None where
        there is none, or the runtime cannot tell. `seen` as for `stop`."""

    def observe(self, deployment_ids: Collection[str] | None = None) -> list[ReplicaStatus]:
        """The status of all replicas of this cluster, or of those of some deployments.

        Sees and touches only what has the platform's labels and this cluster's id.
        """

    def logs(
        self,
        key: Key,
        seen: str = "",
        *,
        tail: int | None = None,
        since: datetime | None = None,
        follow: bool = False,
        timestamps: bool = False,
        within_s: float | None = None,
        most_bytes: int | None = None,
    ) -> Iterator[bytes]:
        """The replica's log of both streams, in pieces; with `follow` on until it ends.

        The endpoint is called now, before the first piece, so an error is raised here. `tail`
        counts lines from the end. A replica that does not exist has no log. `seen` as for `stop`;
        without it, one that others have renamed is found too. While nothing is
        written, a piece may be empty, so that the caller may stop following. With `timestamps` each
        line begins with its time by the endpoint's clock, in RFC 3339, and a space.

        `within_s` limits the time from the call to the end of the log, `most_bytes` what the
        endpoint sends for it; None is the runtime's own limit. Beyond either, the next piece is
        LimitExceeded: the pieces before it are sound.
        """

    def capacity(self) -> list[Capacity]:
        """The endpoint's nodes as they are now."""

    def watch(self, stop: Event) -> Iterator[str | None]:
        """Ids of deployments whose replicas changed, and NODES_CHANGED, where the runtime hears of
        its nodes; None now and then while none changes.

        Does not repeat a change that was missed: the caller observes all replicas now and then.
        Ends soon after `stop` is set; raises RuntimeUnavailable if the endpoint goes away.
        """

    def tidy(self, *, leaving: bool = False) -> None:
        """Remove what this cluster has at the endpoint besides replicas and needs no more; with
        `leaving`, as it is deleted, also what a start might need that is under way."""

    def close(self) -> None:
        """Close the connections."""


_UNFIT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")  # for a text in PostgreSQL, or for people


def one_line(text: object, most: int = 500) -> str:
    """A runtime's message as one line that fits a reason, whatever a container put into it."""
    line = " ".join(_UNFIT.sub(" ", str(text)).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
