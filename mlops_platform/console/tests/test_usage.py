"""The page of an organization's usage, and its table."""

import csv
import re
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.urls import reverse

from deployments.models import AllocationInterval, Price
from deployments.tests.usage.test_usage import record
from mlops_platform.console.pages.organization import usage
from mlops_platform.console.tests.test_submit import browser, text_of
from mlops_platform.tests.equipment.world import World
from organizations.models import Organization

pytestmark = pytest.mark.django_db
MONTH = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _recorded(world: World) -> None:
    """In March the developer had 2 GPUs for 30 hours, of which 20 were lost, and ada for 10;
    each began in February."""
    org = Organization.objects.get(pk=world.ids["organization_id"])
    AllocationInterval.objects.all().delete()
    Price.objects.all().delete()
    who = world.users["developer"], world.users["admin"]
    assert who[0] is not None
    assert who[1] is not None
    lost = int((MONTH + 10 * HOUR).timestamp() * 1000)
    end = MONTH + 30 * HOUR
    record(org, who[0], MONTH - HOUR, end, outcome="evicted", lost_ms=lost, labels={"team": "a"})
    record(org, who[1], MONTH - HOUR, MONTH + 10 * HOUR, priority_class="HIGH")


def seen(world: World, person: str = "viewer", path: str = "usage", **given: str) -> Any:
    address = reverse(f"console:{path}", args=[world.ids["organization_id"]])
    return browser(world, person).get(address, {"month": "2026-03", **given})


def rows(answer: Any) -> dict[str, list[str]]:
    """The cells of each row of the page by its name, the total among them."""
    found = re.findall(r'<th scope="row">([^<]*)(.*?)</tr>', text_of(answer), re.DOTALL)
    return {name: re.findall(r"<td[^>]*>([^<]*)</td>", cells) for name, cells in found}


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("user", {"developer": "60", "ada": "20"}),
        ("cluster", {"west": "80"}),
        ("priority", {"LOW": "60", "HIGH": "20"}),
        ("label", {"a": "60", usage.NO_LABEL: "20"}),
        ("day", {"2026-03-01": "68", "2026-03-02": "12"}),
    ],
)
def test_a_month_is_grouped_as_it_is_asked(world: World, by: str, expected: dict[str, str]) -> None:
    label = {"label": "team"} if by == "label" else {}
    found = rows(seen(world, by=by, **label))
    assert {name: cells[0] for name, cells in found.items()} == {**expected, "All": "80"}
    assert list(found) == [*expected, "All"]
    assert found["All"][1:] == ["40 to eviction", "160", "80", "0 h", "1 completed, 1 evicted"]


def test_bars_are_parts_of_the_largest_with_what_was_lost_apart(world: World) -> None:
    drawn = re.findall(r'<rect class="(\w+)" x="[\d.]+" width="([\d.]+)"', text_of(seen(world)))
    assert drawn == [("low", "33.33"), ("full", "66.67"), ("low", "33.33"), ("full", "0.00")]


def test_a_cost_is_shown_where_there_are_prices(world: World) -> None:
    assert "Cost" not in text_of(seen(world))
    amounts = {"gpu_hour": 100, "core_hour": 0, "gib_hour": 0}
    Price.objects.create(organization_id=world.ids["organization_id"], rank=0, **amounts)
    assert rows(seen(world))["developer"][-1] == "6,000.00"


def test_the_table_has_what_the_api_answers(world: World) -> None:
    answer = seen(world, path="usage-table", by="priority")
    assert answer["Content-Disposition"] == 'attachment; filename="usage-2026-03.csv"'
    text = b"".join(answer.streaming_content).decode()
    api = world.client("viewer").get(
        f"/api/orgs/{world.ids['organization_id']}/usage?from=2026-03-01&to=2026-04-01"
        "&group_by=priority&format=csv"
    )
    assert text == b"".join(api.streaming_content).decode()  # type: ignore[attr-defined]  # streams
    assert [each["gpu_hours"] for each in csv.DictReader(StringIO(text))] == ["20.0", "60.0"]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"month": "2026-13"}, "month"),
        ({"month": "9999-12"}, "month"),
        ({"month": "1969-12"}, "month"),
        ({"month": "x\0"}, "month"),
        ({"by": "moon"}, "by"),
        ({"by": "label"}, "label"),
        ({"by": "label", "label": "k" * 400}, "label"),
        ({"by": "label", "label": "\0"}, "label"),
    ],
)
def test_what_cannot_be_asked_is_said_on_the_page_and_is_no_table(
    world: World, given: dict[str, str], field: str
) -> None:
    page = seen(world, **given)
    assert page.status_code == 200
    assert f'role="alert">{field}: ' in text_of(page)
    table = seen(world, path="usage-table", **given)
    assert table.status_code == 400
    assert field in text_of(table)


def test_months_lead_to_those_beside_them_but_not_ahead(world: World) -> None:
    text = text_of(seen(world, month="2026-01", by="day"))
    assert 'rel="prev" href="?month=2025-12&by=day"' in text
    assert 'rel="next" href="?month=2026-02&by=day"' in text
    assert 'rel="next"' not in text_of(seen(world, month=""))


def test_a_page_of_many_groups_has_the_largest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "MOST_LINES", 1)
    answer = seen(world)
    assert list(rows(answer)) == ["developer", "All"]
    assert "The largest 1 are shown" in text_of(answer)


@pytest.mark.parametrize("path", ["usage", "usage-table"])
@pytest.mark.parametrize(("person", "status"), [("stranger", 404), ("anonymous", 302)])
def test_others_see_nothing_of_it(world: World, path: str, person: str, status: int) -> None:
    assert seen(world, person, path).status_code == status
