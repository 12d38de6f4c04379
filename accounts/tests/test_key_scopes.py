"""Which calls an API key may make, read from the viewsets that the URL patterns name."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from django.urls import URLPattern, get_resolver

from mlops_platform.api.scopes import KeyScope, scope_needed


def calls() -> Iterator[tuple[str, str, str, Any]]:
    """(Path, method, action, viewset) of each call of the API."""
    todo = [("/", pattern) for pattern in get_resolver().url_patterns]
    while todo:
        prefix, pattern = todo.pop()
        path = prefix + str(pattern.pattern)
        view: Any = getattr(pattern, "callback", None)
        if not isinstance(pattern, URLPattern):
            todo += [(path, inner) for inner in pattern.url_patterns]
        elif actions := getattr(view, "actions", None):
            for method, action in actions.items():
                yield path, method.upper(), action, view.cls


def needed(path, method, action, cls):
    view = cls()
    view.action = action
    return scope_needed(view, method)


def test_each_row_of_a_viewsets_scopes_is_one_of_its_actions():
    actions = defaultdict(set)
    for _, _, action, cls in calls():
        actions[cls].add(action)
    strays = {cls.__name__: set(cls.key_scopes) - own for cls, own in actions.items()}
    assert {name: rows for name, rows in strays.items() if rows} == {}


def test_what_reads_needs_read_and_what_writes_deployments_needs_submit():
    for path, method, action, cls in calls():
        scope = needed(path, method, action, cls)
        if method in ("GET", "HEAD") and scope is not None:
            assert scope == KeyScope.READ, path
        elif path.startswith(("/api/deployments", "/api/sweeps")):
            answers_only = action in ("quote", "explain")
            assert scope == (KeyScope.READ if answers_only else KeyScope.SUBMIT), path
        elif scope is not None and "/api/clusters" not in path:
            assert scope == KeyScope.MANAGE, path


def test_what_says_who_may_come_in_is_closed_to_keys():
    closed = defaultdict(set)
    for path, method, action, cls in calls():
        if needed(path, method, action, cls) is None:
            closed[cls.__name__].add(action)
    all_of_keys = {"list", "retrieve", "create", "destroy"}
    assert closed == {
        "UserViewSet": {"change_me", "change_password"},
        "EmailViewSet": {"verify"},
        "InvitationViewSet": all_of_keys,
        "HouseRulesViewSet": {"change_rules"},
        "OwnKeyViewSet": all_of_keys,
        "OrganizationKeyViewSet": all_of_keys,
        "OrganizationViewSet": {"found", "join", "leave", "invite_codes", "destroy"},
        "MemberViewSet": {"partial_update", "destroy"},
        "BanViewSet": {"destroy"},
    }
