"""All pages in a real browser: every person, wide and narrow, light and dark, by keyboard, live.

Nothing is asked of the database here while the browser runs: what is needed is made before.
"""

from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.test import Client

from mlops_platform.console.tests.pages import PAGES, addresses
from mlops_platform.tests.equipment.browser import Visit
from mlops_platform.tests.equipment.world import World

pytestmark = pytest.mark.browser
WIDE, NARROW = 1366, 390
LOOKS = {
    "developer": [(WIDE, "dark"), (NARROW, "light")],
    "admin": [(WIDE, "light")],
    "viewer": [(NARROW, "dark")],
    "stranger": [(WIDE, "light")],
}
LOOKED_AT = ("developer", "admin")
"""They see all that there is: what others see is a part of it, which axe need not read again."""
LOADED_LATER = "[hx-trigger=load] > p > a"
"""A link that the panel replaces."""
SERIOUS = {"serious", "critical"}


class Prepared(NamedTuple):
    paths: dict[str, str]
    sessions: dict[str, str]


@pytest.fixture
def prepared(committed_world: World) -> Prepared:
    """Before the browser, whose event loop would keep Django from asking the database."""
    sessions = {}
    for person in LOOKS:
        client, user = Client(), committed_world.users[person]
        assert user is not None
        client.force_login(user, "django.contrib.auth.backends.ModelBackend")
        sessions[person] = client.cookies[settings.SESSION_COOKIE_NAME].value
    return Prepared(addresses(committed_world), sessions)


def log_in(visit: Visit, session: str) -> None:
    cookie: Any = {
        "name": settings.SESSION_COOKIE_NAME,
        "value": session,
        "domain": urlsplit(visit.server).hostname,
        "path": "/",
    }
    visit.page.context.clear_cookies()
    visit.page.context.add_cookies([cookie])


def barriers(visit: Visit) -> list[str]:
    """What axe finds serious: WCAG 2.2 AA, and more."""
    found = Axe().run(visit.page).response
    assert found["passes"], "axe has looked at nothing"
    return [
        f"{each['id']}: {node['html']}"
        for each in found["violations"]
        if each["impact"] in SERIOUS
        for node in each["nodes"]
    ]


def test_every_page_works_for_everybody(prepared: Prepared, visit: Visit) -> None:
    page, refused = visit.page, 0
    for person, looks in LOOKS.items():
        log_in(visit, prepared.sessions[person])
        for width, scheme in looks:
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # one of two literals
            for name, path in prepared.paths.items():
                seen = f"{name}, {person}, {width} px, {scheme}"
                visit.open(path)
                page.locator(LOADED_LATER).wait_for(state="detached")
                lost = person == "stranger" and PAGES[name].of_stranger == 404
                refused += lost
                title = "There is nothing here" if lost else PAGES[name].title
                assert page.title() == f"{title} · MLOps platform", seen
                assert page.evaluate("document.documentElement.scrollWidth") <= width, seen
                if person in LOOKED_AT:
                    assert barriers(visit) == [], seen
    visit.check(refused=refused)


def update(visit: Visit) -> None:
    """Has the live part sent whole and replaced, as after a change."""
    live = visit.page.locator("#live")
    live.evaluate("live => live.setAttribute('hx-headers', '{}')")
    visit.page.evaluate("htmx.trigger(document.body, 'refresh')")
    visit.page.locator("#live[hx-headers*=None]").wait_for()


def test_an_update_leaves_what_is_ticked_and_what_was_loaded_later(
    prepared: Prepared, visit: Visit
) -> None:
    page = visit.page
    log_in(visit, prepared.sessions["developer"])
    visit.open(prepared.paths["deployments"])
    page.get_by_label("Tick train").check()
    update(visit)
    assert page.get_by_label("Tick train").is_checked()

    visit.open(prepared.paths["waiting"])
    page.get_by_role("button", name="Look again").wait_for()
    update(visit)
    assert page.get_by_role("button", name="Look again").is_visible()
    assert page.get_by_role("heading", name="Why it waits").count() == 1

    visit.open(prepared.paths["running"])
    page.get_by_text("In a simulated cluster no container runs").wait_for()  # of the log
    visit.check()


def test_the_pages_work_by_keyboard_and_what_changes_is_seen(
    prepared: Prepared, visit: Visit
) -> None:
    page = visit.page
    log_in(visit, prepared.sessions["developer"])
    browser = page.context.browser
    assert browser is not None
    other = browser.new_page()
    other.context.add_cookies(page.context.cookies())  # type: ignore[arg-type]  # as they came
    other.goto(visit.server + prepared.paths["home"])
    other.locator("#live .badge", has_text="RUNNING").wait_for()

    visit.open(prepared.paths["running"])
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Stop it"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_text("It is STOPPED.").wait_for()
    other.get_by_text("Nothing of yours runs.").wait_for()  # without a reload
    visit.check()
