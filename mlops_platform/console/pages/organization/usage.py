"""What an organization had allocated in a month, whose it was, and what of it was lost."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import QueryDict

from accounts.models import User
from deployments.api.usage.answering import groups_of
from deployments.api.usage.parameters import LONGEST_KEY, MOST_GROUPS
from deployments.api.usage.shown import shown, total_of
from deployments.usage.models import Outcome
from deployments.usage.report import CLUSTER, DAY, LABEL, PRIORITY, USER, Group, Question
from mlops_platform.api.errors import Invalid
from mlops_platform.api.ids import EPOCH
from mlops_platform.database.clock import database_now
from organizations.access import require
from organizations.models import Organization, Role

MOST_LINES = 200
GROUPS = (USER, CLUSTER, PRIORITY, LABEL, DAY)
LOST_TO = {"eviction": "eviction", "failure": "failure", "node_loss": "loss of nodes"}
NO_LABEL = "without the label"
_MONTH = re.compile(r"(\d{4})-(\d{2})", re.ASCII)


@dataclass(frozen=True)
class Asked:
    """The month and the groups of the query string; what is at fault there is said, and replaced by
    the present month, and by the sum of all."""

    begin: datetime
    now: datetime
    by: str = USER
    label: str = ""
    faults: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_grouped(self) -> bool:
        return not self.faults.keys() & {"by", "label"}

    @property
    def month(self) -> str:
        return f"{self.begin:%Y-%m}"

    @property
    def end(self) -> datetime:
        return _first_of(self.begin + timedelta(days=31))

    def question(self, organization_id: UUID) -> Question:
        return Question(
            organization_id,
            self.begin,
            min(self.end, self.now),
            self.now,
            group_by=(self.by,) if self.is_grouped else (),
            label=self.label,
            most=MOST_GROUPS,
        )

    @property
    def query(self) -> str:
        return self.query_of(self.begin)

    @property
    def earlier(self) -> str:
        """The query string of the month before."""
        return self.query_of(_first_of(self.begin - timedelta(days=1)))

    @property
    def later(self) -> str:
        """That of the month after; empty where it lies ahead."""
        return self.query_of(self.end) if self.end < self.now else ""

    def query_of(self, month: datetime) -> str:
        given = {"month": f"{month:%Y-%m}", "by": self.by, "label": self.label}
        return "?" + urlencode({name: value for name, value in given.items() if value})


@dataclass(frozen=True)
class UsageLine:
    name: str
    gpu_hours: str
    core_hours: str
    gib_hours: str
    waited: str
    lost: str
    outcomes: str
    cost: str
    """Empty where the organization has no prices."""

    bar: Sequence[tuple[str, float]] = ()
    """What was not lost, and what was, as parts of the largest line."""


@dataclass(frozen=True)
class UsagePage:
    id: UUID
    name: str
    asked: Asked
    lines: list[UsageLine]
    total: UsageLine
    drawn: str
    """The unit of what the bars show."""

    is_cut: bool = False
    groups: Sequence[str] = GROUPS


def usage_page(user: User, organization_id: str, given: QueryDict) -> UsagePage:
    """404 where the user is no member. Four queries."""
    organization = _organization(user, organization_id)
    asked = asked_of(given)
    groups = groups_of(asked.question(organization.pk))
    total = total_of(groups)
    drawn = "gpu_hours" if total["gpu_hours"] or not total["core_hours"] else "core_hours"
    rows = [(_name(asked, each), shown(each)) for each in groups] if asked.is_grouped else []
    if asked.by != DAY:
        rows.sort(key=lambda row: (-row[1][drawn], row[0]))
    largest = max((row[drawn] for _, row in rows), default=0)
    lines = [_line(name, row, _bar(row, drawn, largest)) for name, row in rows[:MOST_LINES]]
    return UsagePage(
        organization.pk,
        organization.name,
        asked,
        lines,
        _line("All", total),
        "GPU-hours" if drawn == "gpu_hours" else "core-hours",
        is_cut=len(rows) > MOST_LINES,
    )


def usage_table(user: User, organization_id: str, given: QueryDict) -> tuple[Question, list[Group]]:
    """What the page shows, whole, for a file; 400 that names what is at fault. Four queries."""
    organization = _organization(user, organization_id)
    asked = asked_of(given)
    if asked.faults:
        raise Invalid(dict(asked.faults))
    question = asked.question(organization.pk)
    return question, groups_of(question)


def _organization(user: User, organization_id: str) -> Organization:
    return require(user, organization_id, Role.VIEWER).organization


def asked_of(given: QueryDict) -> Asked:
    """One query."""
    now = database_now().astimezone(UTC)
    begin, faults = _first_of(now), dict[str, str]()
    if text := given.get("month", "").strip():
        try:
            begin = _month(text, now)
        except ValueError as error:
            faults["month"] = str(error)
    by = given.get("by", "") or USER
    label = given.get("label", "").strip() if by == LABEL else ""
    if by not in GROUPS:
        faults["by"] = f"One of {', '.join(GROUPS)}."
        by = USER
    elif by == LABEL and not label:
        faults["label"] = "The key of the label to group by, such as team."
    elif len(label) > LONGEST_KEY or "\0" in label:
        faults["label"] = f"At most {LONGEST_KEY} characters, none of them NUL."
        label = ""
    return Asked(begin, now, by, label, faults)


def _month(text: str, now: datetime) -> datetime:
    """Raises ValueError with a sentence."""
    match = _MONTH.fullmatch(text)
    if match is None or not 1 <= int(match[2]) <= 12 or int(match[1]) < EPOCH.year:
        raise ValueError("A year and a month, such as 2026-11.")
    begin = datetime(int(match[1]), int(match[2]), 1, tzinfo=UTC)
    if begin >= now:
        raise ValueError("This month lies ahead.")
    return begin


def _first_of(moment: datetime) -> datetime:
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _name(asked: Asked, group: Group) -> str:
    if asked.by in group.names:
        return group.names[asked.by]
    key = group.keys[asked.by]
    return NO_LABEL if key is None else str(key)


def _line(name: str, row: Mapping[str, Any], bar: Sequence[tuple[str, float]] = ()) -> UsageLine:
    return UsageLine(
        name=name,
        gpu_hours=_figure(row["gpu_hours"]),
        core_hours=_figure(row["core_hours"]),
        gib_hours=_figure(row["gib_hours"]),
        waited=f"{_figure(row['waiting_hours'])} h",
        lost=_lost(row),
        outcomes=_outcomes(row),
        cost="" if row["cost"] is None else f"{row['cost']:,.2f}",
        bar=bar,
    )


def _lost(row: Mapping[str, Any]) -> str:
    """GPU-hours; core-hours of what had no GPU."""
    unit = "gpu" if row["gpu_hours"] else "core"
    amounts = [(words, row[f"{unit}_hours_lost_to_{name}"]) for name, words in LOST_TO.items()]
    said = [f"{_figure(amount)} to {words}" for words, amount in amounts if amount]
    return ", ".join(said)


def _outcomes(row: Mapping[str, Any]) -> str:
    counted = [f"{row[name]} {name}" for name in ("started", *Outcome.values) if row[name]]
    return ", ".join(counted)


def _bar(row: Mapping[str, Any], drawn: str, largest: float) -> list[tuple[str, float]]:
    lost = sum(row[f"{drawn}_lost_to_{name}"] for name in LOST_TO)
    return [("low", (row[drawn] - lost) / largest), ("full", lost / largest)] if largest else []


def _figure(number: float) -> str:
    """`1,204.5`: at most two decimals, and none that is zero."""
    return f"{number:,.2f}".rstrip("0").rstrip(".")
