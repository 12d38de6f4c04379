"""Fetches buckets, with several connections, until all is there: faults that may pass are tried
again after pauses of 1, 2, 4, … 60 seconds, and what is there already stays."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from deployments.fetch.bucket import Bucket, Object
from deployments.fetch.faults import Delayed, Failed

CONNECTIONS = 8
REPORT_EVERY_S = 2.0
LONGEST_PAUSE_S = 60.0
MIB = 1024 * 1024

Report = Callable[[dict[str, Any]], None]


class Fetching:
    """`delay`: why the last try has failed, while that is so."""

    def __init__(
        self, buckets: Sequence[dict[str, Any]], most_mib: int | None, report: Report
    ) -> None:
        self._buckets = buckets
        self._most_mib = most_mib
        self._report = report
        self._fetched = self._total = 0
        self._lock = threading.Lock()
        self.delay = ""

    def run(self) -> None:
        """Raises Failed; goes on trying where a fault may pass."""
        listed = [(each, *self._listed(each)) for each in self._buckets]
        sizes = [sum(each.size for each in objects) for _, _, objects in listed]
        self._total = sum(sizes)
        for (given, bucket, objects), size in zip(listed, sizes, strict=True):
            if not objects:
                raise Failed(f"{bucket.name}: there is no object.")
            _refuse_size(size, given["max_mib"], f"{bucket.name} has", "max_mib of its volume")
        if self._most_mib is not None:
            _refuse_size(self._total, self._most_mib, "The buckets have", "ephemeral_mib")
        for given, bucket, objects in listed:
            self._fetch(bucket, objects, Path(given["to"]), given)

    def _listed(self, given: dict[str, Any]) -> tuple[Bucket, list[Object]]:
        bucket = Bucket(given, CONNECTIONS)
        for pause_s in self._tries():
            try:
                objects = bucket.objects()
            except Delayed as fault:
                self._wait(fault, pause_s)
            else:
                self.delay = ""
                return bucket, objects
        raise AssertionError("The tries do not end.")

    def _fetch(
        self, bucket: Bucket, objects: list[Object], folder: Path, given: dict[str, Any]
    ) -> None:
        begun: dict[str, str] = {}  # ETags by path
        pauses = self._tries()
        while True:
            before = self._fetched
            try:
                self._fetch_missing(bucket, objects, folder, begun)
                return
            except Delayed as fault:
                if self._fetched > before:
                    pauses = self._tries()  # it gets on
                self._wait(fault, next(pauses))
            _, objects = self._listed(given)  # some may have changed
            size = sum(each.size for each in objects)
            _refuse_size(size, given["max_mib"], f"{bucket.name} has", "max_mib of its volume")

    def _fetch_missing(
        self, bucket: Bucket, objects: Sequence[Object], folder: Path, begun: dict[str, str]
    ) -> None:
        todo, faults = iter(objects), list[Exception]()

        def next_one() -> Object | None:
            with self._lock:
                return None if faults else next(todo, None)

        def work() -> None:
            while (each := next_one()) is not None:
                goes_on = begun.get(each.path) == each.etag
                begun[each.path] = each.etag
                try:
                    bucket.save(each, folder / each.path, goes_on, self._add)
                except Exception as fault:
                    faults.append(fault)

        threads = [threading.Thread(target=work, daemon=True) for _ in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(REPORT_EVERY_S)
                fetched = min(self._fetched, self._total) // MIB
                self._report({"fetched_mib": fetched, "total_mib": -(-self._total // MIB)})
        final = [each for each in faults if isinstance(each, Failed)]
        for fault in (*final, *faults):
            raise fault

    def _add(self, size: int) -> None:
        with self._lock:
            self._fetched += size

    def _wait(self, fault: Delayed, pause_s: float) -> None:
        self.delay = str(fault)
        self._report({"said": str(fault), "retry_in_s": pause_s})
        time.sleep(pause_s)

    @staticmethod
    def _tries() -> Iterator[float]:
        pause_s = 1.0
        while True:
            yield pause_s
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _refuse_size(size: int, most_mib: int, whose: str, limit: str) -> None:
    if size > most_mib * MIB:
        raise Failed(f"{whose} {-(-size // MIB)} MiB, and {limit} is {most_mib}.")
