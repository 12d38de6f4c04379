"""What every runtime does, in the words of no particular one.

A runtime speaks with one endpoint: a Docker engine, which is one node, or a Kubernetes API server
with all of its nodes. Its calls are idempotent and keyed by deployment, attempt and replica:
whoever was killed half-way does the same again. It knows nothing of queues or the database.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from threading import Event
from typing import Literal, NamedTuple, Protocol


class RuntimeUnavailable(Exception):  # noqa: N818 - a state of the endpoint, not a mistake
    """No usable answer: refused, timed out, not authorized, or an error of its own. Try later."""


class RefusedError(Exception):
    """The runtime takes this launch neither now nor later. `problem` says why, in its own words."""

    def __init__(self, problem: "Problem") -> None:
        super().__init__(problem.message)
        self.problem = problem


class ImageMissing(Exception):  # noqa: N818 - not an error: `pull` comes first
    """The image is not there yet: `pull` it, which may take long, and start again."""


class Code(StrEnum):
    """What may be wrong with a replica. The codes are those of `reasons` in the REST contract."""

    PULLING_IMAGE = "PULLING_IMAGE"  # not wrong: it takes its time
    IMAGE_PULL_FAILED = "IMAGE_PULL_FAILED"
    COMMAND_FAILED = "COMMAND_FAILED"  # no such program, or it may not be executed
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    EXITED = "EXITED"  # an exit code other than 0; details: exit_code
    REFUSED = "REFUSED"  # the runtime does not take it as it is
    UNSCHEDULABLE = "UNSCHEDULABLE"  # its node has no room for it after all
    DISRUPTED = "DISRUPTED"  # ended by the machine or its keepers, through no fault of its own
    NOT_READY = "NOT_READY"  # runs, but its readiness probe does not pass yet


@dataclass(frozen=True, slots=True)
class Problem:
    """A code, and what the runtime said, one line of at most 500 characters without secrets."""

    code: Code
    message: str = ""


class Key(NamedTuple):
    """One replica of one attempt of a deployment, which becomes one container or Pod."""

    deployment_id: str
    attempt: int  # from 1; each admission is one
    replica: int  # from 0


class Phase(StrEnum):
    PENDING = "PENDING"  # it is there, but no process of it yet
    RUNNING = "RUNNING"
    ENDED = "ENDED"  # its process has ended, or can never start


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """What a runtime sees of a replica. One that is not seen is not there."""

    key: Key
    phase: Phase
    begun: bool = True  # False: it was made, but nobody has told it to begin: `start` goes on
    ready: bool = False  # runs, and its readiness probe passes, where it has one
    stopping: bool = False  # has been told to end
    exit_code: int | None = None
    problem: Problem | None = None
    started_at: datetime | None = None  # of the process, by the machine's clock
    ended_at: datetime | None = None
    node: str | None = None  # the name of its node


@dataclass(frozen=True, slots=True)
class Probe:
    """How to tell that a replica is ready. Asked inside the container's own network."""

    kind: Literal["http", "tcp", "command"]
    port: int = 0  # http, tcp
    path: str = "/"  # http: ready where it answers 200 to 399
    command: tuple[str, ...] = ()  # command: ready where it exits with 0
    interval_s: int = 5
    timeout_s: int = 2


@dataclass(frozen=True, slots=True)
class Sandbox:
    """How far a container is locked in. The defaults hold; only an operator may loosen them."""

    pids_limit: int = 4096
    add_capabilities: tuple[str, ...] = ()  # all are dropped; these are given back
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
class LaunchSpec:
    """One attempt of a deployment, or the part of it that belongs to one endpoint."""

    deployment_id: str
    attempt: int
    placement: Sequence[ReplicaPlacement]
    name: str
    image: str
    cpu_milli: int  # of each replica, as are the next two
    ram_mib: int
    gpu: int
    command: Sequence[str] = ()  # replaces the image's entry point, where given
    args: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    grace_s: int = 30
    probe: Probe | None = None
    labels: Mapping[str, str] = field(default_factory=dict)  # for people: organization, owner, …
    sandbox: Sandbox = Sandbox()

    def env_of(self, replica: int) -> dict[str, str]:
        """What one replica is told: the environment, and which one it is."""
        return {**self.env, "MLOPS_REPLICA": str(replica)}


@dataclass(frozen=True, slots=True)
class Capacity:
    """A node as its runtime sees it: what there is for us. GPUs are None where it cannot tell."""

    node: str
    cpu_milli: int
    ram_mib: int
    gpu: int | None
    labels: Mapping[str, str] = field(default_factory=dict)
    ready: bool = True
    cordoned: bool = False
    machine: str = ""  # the same however it is reached, and no other's; empty where it cannot tell


Guard = Callable[[str], str | None]  # an IP address: why nobody may connect there, or None


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach an endpoint. Certificates and the key are PEM text.

    With a guard, the address that a connection has really reached is judged before anything is
    sent: a name that resolves to another address later changes nothing.
    """

    url: str
    ca: str = ""
    cert: str = ""
    key: str = field(default="", repr=False)
    token: str = field(default="", repr=False)  # a bearer token
    guard: Guard | None = None


class Runtime(Protocol):
    """Every call raises RuntimeUnavailable where the endpoint gives no usable answer in time."""

    def start(self, launch_spec: LaunchSpec) -> None:
        """Bring into being what is not there of these replicas; what is there stays as it is.

        Raises ImageMissing (nothing was started) and RefusedError.
        """

    def pull(self, image: str) -> None:
        """Fetch the image, which may take long; at once where the runtime does so by itself.

        Raises RefusedError with IMAGE_PULL_FAILED where there is no such image, or not for us.
        """

    def stop(self, key: Key, grace_s: int) -> None:
        """Tell it to end, and return without waiting. With 0 it is killed.

        Whoever is not there, or has ended, is left as it is. One that never began is removed.
        """

    def remove(self, key: Key) -> None:
        """Clear away one that has ended, and what it wrote; one that runs is killed first."""

    def observe(self, deployment_ids: Collection[str] | None = None) -> list[ReplicaStatus]:
        """All replicas of this cluster that are there, or those of some deployments.

        Only what carries our labels and this cluster's id is ever seen, or touched.
        """

    def logs(
        self,
        key: Key,
        *,
        tail: int | None = None,
        since: datetime | None = None,
        follow: bool = False,
    ) -> Iterator[bytes]:
        """What it wrote to both of its streams, in pieces; with `follow` on until it ends.

        The endpoint is asked now, and not only for the first piece: whether it answers is known
        once this returns. `tail` counts lines from the end. Nothing, for one that is not there.
        Where nothing is written for a while, a piece may be empty: so whoever follows may leave.
        """

    def capacity(self) -> list[Capacity]:
        """The endpoint's nodes as they are now."""

    def watch(self, stop: Event) -> Iterator[str | None]:
        """Ids of deployments of which something changed; None now and then, where nothing did.

        What was missed is not made up for: whoever watches looks at everything now and then. Ends
        soon after `stop` is set; raises RuntimeUnavailable where the endpoint goes away.
        """

    def tidy(self) -> None:
        """Clear away what is there for this cluster besides replicas, and of no use any more."""

    def close(self) -> None:
        """Give back its connections."""


_UNFIT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")  # for a text of PostgreSQL, or for people


def one_line(text: object, most: int = 500) -> str:
    """What a runtime said, fit for a reason, whatever a container had it say."""
    line = " ".join(_UNFIT.sub(" ", str(text)).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
