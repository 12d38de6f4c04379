"""What is judged on the home: a light with a sentence for each."""

import shutil
from dataclasses import dataclass
from enum import StrEnum

from django.conf import settings

from mlops_platform.coordination.presence import SeenWorker
from mlops_platform.coordination.wakeup import Backlog
from scheduler.freshness import Freshness
from scheduler.home.reading import Rows
from scheduler.timer.jobs import HOUR_S

GIB, MIB = 1024**3, 1024**2
DAY_S = 24 * HOUR_S
BEAT_LATE_S = 15.0  # three beats of a worker
AUDIT_OLD_S = 13 * HOUR_S  # two have been missed
DELIVERY_LATE_S = 60.0  # three turns of a worker
DELIVERY_LOST_S = 600.0


class Tone(StrEnum):
    """Green, amber, red, and what could not be read."""

    GOOD = "good"
    WATCH = "watch"
    ACT = "act"
    UNKNOWN = "unknown"


GRAVITY = (Tone.ACT, Tone.UNKNOWN, Tone.WATCH, Tone.GOOD)


@dataclass(frozen=True)
class Light:
    name: str
    tone: Tone
    sentence: str


def unknown(name: str) -> Light:
    return Light(name, Tone.UNKNOWN, "Could not be read in time.")


def timer_light(found: Freshness | None) -> Light:
    name = "Timer"
    if found is None:
        return unknown(name)
    if found.timer_at is None:
        return Light(name, Tone.ACT, "No timer has taken a turn yet: nothing ends by the clock.")
    passed_s = (found.now - found.timer_at).total_seconds()
    if found.is_timer_late:
        sentence = f"No timer has taken a turn for {span(passed_s)}: nothing ends by the clock."
        return Light(name, Tone.ACT, sentence)
    return Light(name, Tone.GOOD, f"A timer took a turn {span(passed_s)} ago.")


def answer_light(found: Freshness | None) -> Light:
    name = "Answers of workers"
    if found is None:
        return unknown(name)
    if found.worker_at is None:
        return Light(name, Tone.ACT, "No worker has answered yet: nothing is started.")
    passed_s = (found.now - found.worker_at).total_seconds()
    if found.is_worker_late:
        sentence = f"No worker has answered for {span(passed_s)}: nothing is started."
        return Light(name, Tone.ACT, sentence)
    return Light(name, Tone.GOOD, f"A worker answered {span(passed_s)} ago.")


def workers_light(seen: list[SeenWorker] | None, *, has_endpoints: bool) -> Light:
    """Those of the runtimes' queue matter where there is anything that they could speak with."""
    name = "Heartbeats of workers"
    if seen is None:
        return Light(name, Tone.ACT, "Redis is away: nothing is scheduled, and it is not known.")
    beating = [each for each in seen if each.age_s <= BEAT_LATE_S]
    numbers = {
        queue: sum(queue in each.queues for each in beating) for queue in ("scheduler", "runtimes")
    }
    gone = [each for each in seen if each not in beating]
    sentence = f"{numbers['scheduler']} of scheduler, {numbers['runtimes']} of runtimes."
    if beating:
        sentence += f" The last beat came {span(min(each.age_s for each in beating))} ago."
    if gone:
        last = min(gone, key=lambda each: each.age_s)
        sentence += f" Gone within the hour: {len(gone)}, {last.name} {span(last.age_s)} ago."
    tone = Tone.GOOD
    if not numbers["runtimes"]:
        tone = Tone.ACT if has_endpoints else Tone.WATCH
    if not numbers["scheduler"]:
        tone = Tone.ACT
    return Light(name, tone, sentence)


def backlog_light(queues: dict[str, Backlog] | None) -> Light:
    name = "Backlog"
    if queues is None:
        return Light(name, Tone.ACT, "Redis is away: messages cannot be counted.")
    late_s = max(each.late_s for each in queues.values())
    messages = ", ".join(f"{each.messages} of {queue}" for queue, each in queues.items())
    sentence = f"Messages that wait: {messages}."
    if late_s:
        sentence += f" The oldest wake-up is {span(late_s)} late."
    return Light(name, graded(late_s, watch=5, act=30), sentence)


def overlooked_light(rows: Rows | None) -> Light:
    name = "Not looked at"
    if rows is None:
        return unknown(name)
    queues, age_s, cluster = rows[0]
    if not queues:
        return Light(name, Tone.GOOD, "A cycle has looked at all that waits.")
    sentence = f"The oldest deployment that no cycle has looked at waits for {span(age_s)}, "
    return Light(name, graded(float(age_s), watch=5, act=30), f"{sentence}in {cluster}.")


def cycles_light(queues: dict[str, Backlog] | None, rows: Rows | None) -> Light:
    name = "Cycles"
    if queues is None or rows is None:
        return unknown(name)
    failing = len(queues["scheduler"].failing)
    number, cluster, longest_ms = rows[0]
    sentence = "None has changed anything for 10 minutes."
    if number:
        sentence = f"Of {number} in 10 minutes the longest took {longest_ms:.0f} ms, in {cluster}."
    tone = graded((longest_ms or 0) / 1000, watch=2, act=10)
    if failing:
        clusters = "1 cluster" if failing == 1 else f"{failing} clusters"
        said = f"The cycles of {clusters} fail and are tried again. {sentence}"
        return Light(name, Tone.ACT, said)
    return Light(name, tone, sentence)


def endpoints_light(rows: Rows | None) -> Light:
    name = "Endpoints"
    if rows is None:
        return unknown(name)
    endpoints, away, away_s, cluster, nodes, nodes_away = rows[0]
    nodes_said = f"{nodes_away} of {nodes} nodes do not answer." if nodes_away else ""
    if not away:
        sentence = f"All {endpoints} answer." if endpoints else "There are none."
        return Light(
            name, Tone.WATCH if nodes_away else Tone.GOOD, f"{sentence} {nodes_said}".strip()
        )
    sentence = f"{away} of {endpoints} away, the first for {span(away_s)}, of {cluster}."
    return Light(name, graded(float(away_s), watch=0, act=300), f"{sentence} {nodes_said}".strip())


def webhooks_light(rows: Rows | None) -> Light:
    """A receiver that fails is its organization's matter: it counts here only for the day after it
    was switched off, since many at once may mean that nothing leaves the platform."""
    name = "Webhooks"
    if rows is None:
        return unknown(name)
    webhooks, failing, off, lately_off, late_s, organization = rows[0]
    if not webhooks:
        return Light(name, Tone.GOOD, "There are none.")
    said = [f"Of {webhooks} the receivers of {failing} fail, {off} were switched off for that."]
    if late_s:
        said.append(f"The oldest delivery that is due waits for {span(late_s)}, of {organization}.")
    tone = graded(float(late_s), watch=DELIVERY_LATE_S, act=DELIVERY_LOST_S)
    if tone == Tone.GOOD and lately_off:
        tone = Tone.WATCH
    return Light(name, tone, " ".join(said))


def audit_light(rows: Rows | None) -> Light:
    name = "Audit"
    if rows is None:
        return unknown(name)
    if not rows:
        return Light(name, Tone.WATCH, "None has run yet; one does every 6 hours.")
    breaches, first, age_s = rows[0]
    if breaches:
        invariants = "1 invariant is" if breaches == 1 else f"{breaches} invariants are"
        said = f"{invariants} broken, as of {span(age_s)} ago: {first}."
        return Light(name, Tone.ACT, said)
    tone = Tone.WATCH if age_s > AUDIT_OLD_S else Tone.GOOD
    return Light(name, tone, f"All invariants held {span(age_s)} ago.")


def database_light(rows: Rows | None) -> Light:
    name = "Database"
    if rows is None:
        return unknown(name)
    size, before, age_s = rows[0]
    if before is None or age_s < HOUR_S:
        return Light(name, Tone.GOOD, f"{size / GIB:.2f} GiB; its growth is not known yet.")
    a_day = (size - before) / (float(age_s) / DAY_S)
    said = f"{size / GIB:.2f} GiB, {a_day / MIB:+.0f} MiB a day within {span(age_s)}."
    doubles = a_day > 0 and size > GIB and size / a_day < 7
    return Light(name, Tone.WATCH if doubles else Tone.GOOD, said)


def disk_light() -> Light:
    """Of the folder that this process keeps its files in, beside which the embedded PostgreSQL has
    its own. A server elsewhere says nothing of its disk."""
    name = "Disk"
    try:
        usage = shutil.disk_usage(settings.DATA_DIR)
    except OSError:
        return unknown(name)
    used = 100 * (usage.total - usage.free) / usage.total
    said = f"{usage.free / GIB:.0f} GiB of {usage.total / GIB:.0f} GiB are free beside this process"
    return Light(name, graded(used, watch=80, act=90), f"{said}, {used:.0f} % are used.")


def graded(value: float, *, watch: float, act: float) -> Tone:
    if value > act:
        return Tone.ACT
    return Tone.WATCH if value > watch else Tone.GOOD


def span(seconds: float) -> str:
    """`3 s`, `5 min`, `2 h`, `4 days`: as much as a glance needs."""
    seconds = max(float(seconds), 0.0)
    for unit, length, from_s in (("days", DAY_S, 2 * DAY_S), ("h", HOUR_S, 2 * HOUR_S)):
        if seconds >= from_s:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
