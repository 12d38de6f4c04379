"""The load: submits of all kinds, stops, changes of priority, and reads, at a steady pace."""

import threading
import time
from collections import deque
from collections.abc import Callable
from random import Random
from types import TracebackType
from typing import Any

from chaos.load.calls import Answer, Came
from chaos.load.journal import Journal, Submit
from chaos.load.members import Member, MembersClient, Place, World

PAUSE_S = 0.3  # of each thread, between two of its calls
MOST_WAITING = 80  # in a cluster; while more wait, nothing is submitted to it
WAITERS = 12  # that wait in the full cluster from beginning to end
AGAIN_S, LONGEST_S = 0.3, 90.0  # a submit with a key, and a stop: until they are acknowledged
REFUSALS = (Came.REFUSED, Came.WRONG)


class Load:
    """`with Load(world, journal, seed): …` submits and reads until the block ends."""

    def __init__(self, world: World, journal: Journal, seed: int) -> None:
        self.world, self.journal = world, journal
        self._seed = seed
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._to_stop: deque[tuple[Place, Submit]] = deque()
        self._to_raise: deque[tuple[Place, Submit]] = deque()
        self._busy: set[str] = set()  # clusters in which enough wait
        self.errors: list[BaseException] = []

    def __enter__(self) -> "Load":
        self._fill()
        for number, place in enumerate(self.world.places):
            client = place.member.client()
            self._run(_Submitter(self, place, client, Random(self._seed + number)).act)
        for member in self.world.members:
            self._run(_Reader(self, member).act)
        self._run(self._stop_one)
        self._run(self._raise_one)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def stop_the_rest(self) -> None:
        """Stop whatever has no end of its own, after the block."""
        self._stop.clear()
        try:
            while self._to_stop:
                self._stop_one()
            for place, submit in self._endless():
                self._stop_it(place, submit)
        finally:
            self._stop.set()

    def submit(self, client: MembersClient, submits: list[Submit], bodies: list[Any]) -> Answer:
        """One call for one submit or a bulk; those with a key are repeated until acknowledged."""
        self.journal.write(submits)
        key = submits[0].key
        headers = {"Idempotency_Key": key} if key else {}
        deadline = time.monotonic() + LONGEST_S
        while True:
            if submits[0].bulk:
                answer = client.post("/api/deployments/bulk", {"deployments": bodies}, **headers)
            else:
                answer = client.post("/api/deployments", bodies[0], **headers)
            if answer.is_fine:
                rows = answer.body if submits[0].bulk else [answer.body]
                for submit, row in zip(submits, rows, strict=True):
                    submit.acknowledge(row["id"])
                return answer
            if answer.came in REFUSALS and not key:
                for submit in submits:
                    submit.refused = True
            if not key or answer.came in REFUSALS or time.monotonic() > deadline:
                return answer
            time.sleep(AGAIN_S)

    def _run(self, act: Callable[[], None]) -> None:
        def again_and_again() -> None:
            while not self._stop.wait(PAUSE_S):
                try:
                    act()
                except BaseException as error:  # the campaign raises it
                    self.errors.append(error)
                    return

        thread = threading.Thread(target=again_and_again, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _fill(self) -> None:
        """One takes the small cluster whole, and others wait behind it."""
        place = self.world.full
        client = place.member.client()
        for number in range(WAITERS + 1):
            priority = "HIGH" if number == 0 else "LOW"
            submit = Submit(self.journal.new_name(), place.cluster_id, priority, None)
            answer = self.submit(client, [submit], [body_of(submit, cpu=1)])
            if not answer.is_fine:
                raise RuntimeError(f"submit: {answer}")

    def _endless(self) -> list[tuple[Place, Submit]]:
        places = {place.cluster_id: place for place in self.world.places}
        return [
            (places[submit.cluster_id], submit)
            for submit in self.journal.submits
            if submit.runtime_s is None
            and submit.id
            and submit.stop_acknowledged_at is None
            and submit.cluster_id in places
        ]

    def _stop_one(self) -> None:
        if self._to_stop:
            self._stop_it(*self._to_stop.popleft())

    def _stop_it(self, place: Place, submit: Submit) -> None:
        client = place.member.client()
        submit.stop_asked = True
        deadline = time.monotonic() + LONGEST_S
        while time.monotonic() < deadline:
            answer = client.post(f"/api/deployments/{submit.id}/stop")
            if answer.is_fine:
                submit.stop_said = answer.body["status"]
                submit.stop_acknowledged_at = time.monotonic()
                return
            if answer.came in REFUSALS:
                return
            time.sleep(AGAIN_S)

    def _raise_one(self) -> None:
        if not self._to_raise:
            return
        place, submit = self._to_raise.popleft()
        submit.priority_asked = "HIGH" if submit.priority == "LOW" else "LOW"
        path = f"/api/deployments/{submit.id}"
        answer = place.member.client().call("PATCH", path, {"priority": submit.priority_asked})
        if answer.is_fine:
            submit.priority_acknowledged_at = time.monotonic()


class _Submitter:
    """Draws what is submitted next: most alone, some with a key, a quote, or in a bulk."""

    def __init__(self, load: Load, place: Place, client: MembersClient, draw: Random) -> None:
        self._load, self._place, self._client, self._draw = load, place, client, draw

    def act(self) -> None:
        if self._place.cluster_id in self._load._busy:
            return
        kind = self._draw.random()
        if kind < 0.15:
            self._bulk()
            return
        submit = self._new(endless=kind > 0.85)
        if kind < 0.55 or submit.runtime_s is None:  # an endless one must not get lost to its user
            submit.key = f"key-{submit.name}"
        body = body_of(submit, **self._request())
        if 0.55 < kind < 0.65:
            quote = self._client.post("/api/deployments/quote", body)
            if quote.is_fine:
                body["quote"] = quote.body["token"]
        if not self._load.submit(self._client, [submit], [body]).is_fine:
            return
        if submit.runtime_s is None:
            self._load._to_stop.append((self._place, submit))
        elif self._draw.random() < 0.1:
            self._load._to_raise.append((self._place, submit))

    def _bulk(self) -> None:
        name = self._load.journal.new_name()
        key = f"key-{name}" if self._draw.random() < 0.5 else None
        submits = [self._new() for _ in range(self._draw.randint(2, 5))]
        for submit in submits:
            submit.bulk, submit.key = name, key
        self._load.submit(
            self._client, submits, [body_of(each, **self._request()) for each in submits]
        )

    def _new(self, *, endless: bool = False) -> Submit:
        priority = "HIGH" if self._draw.random() < 0.2 else "LOW"
        runtime_s = None if endless else self._draw.randint(1, 3)
        cluster_id = self._place.cluster_id
        return Submit(self._load.journal.new_name(), cluster_id, priority, runtime_s)

    def _request(self) -> dict[str, Any]:
        replicas = self._draw.choice((1, 1, 1, 2)) if self._place.has_nodes else 1
        return {
            "cpu": self._draw.choice((0.5, 1, 2, 4)),
            "gpu": self._draw.choice((0, 1, 2)),
            "replicas": replicas,
        }


class _Reader:
    """Polls lists, single deployments and the clusters' pages."""

    def __init__(self, load: Load, member: Member) -> None:
        self._load, self._client = load, member.client()
        self._places = [place for place in load.world.places if place.member is member]
        self._turn = 0

    def act(self) -> None:
        self._turn += 1
        place = self._places[self._turn % len(self._places)]
        path = (
            f"/api/clusters/{place.cluster_id}/status",
            "/api/deployments?limit=20",
            f"/api/clusters/{place.cluster_id}/queue",
            self._a_deployment(place),
        )[self._turn // len(self._places) % 4]
        answer = self._client.get(path)
        if path.endswith("/status"):
            self._note_waiting(place, answer)

    def _a_deployment(self, place: Place) -> str:
        for submit in reversed(self._load.journal.submits[-50:]):
            if submit.id and submit.cluster_id == place.cluster_id:
                return f"/api/deployments/{submit.id}"
        return "/api/orgs/my"

    def _note_waiting(self, place: Place, answer: Answer) -> None:
        if not answer.is_fine:
            return
        lengths = answer.body.get("queue_lengths") or {}
        if sum(filter(None, lengths.values())) > MOST_WAITING:
            self._load._busy.add(place.cluster_id)
        else:
            self._load._busy.discard(place.cluster_id)


def body_of(submit: Submit, *, cpu: float, gpu: int = 0, replicas: int = 1) -> dict[str, Any]:
    return {
        "cluster_id": submit.cluster_id,
        "name": submit.name,
        "image": "registry.example.com/vision/train:1.2",
        "required_cpu": cpu,
        "required_ram": 512,
        "required_gpu": gpu,
        "priority": submit.priority,
        "replicas": replicas,
        "simulated_runtime_s": submit.runtime_s,
    }
