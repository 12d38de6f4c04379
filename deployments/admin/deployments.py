"""The admin pages of deployments: operators read them, stop them, and change their priorities.

No page shows a value of `env`, nor lets an operator find one out by filtering for it.
"""

from functools import partial
from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.contrib.admin.views.main import ChangeList
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import path

from accounts.models import User
from deployments.admin import again, output, related, search
from deployments.admin.changelist import DeploymentPage, DeploymentPaginator
from deployments.admin.label_filter import LabelFilter
from deployments.admin.presentation import Columns, Details, timeline
from deployments.models import ENDED, PLACED, Deployment, Status
from deployments.queries.deployments import positions_of
from deployments.queries.priority_classes import priority_classes
from deployments.reasons.reader import reasons_for
from deployments.services import stop
from deployments.services.drafting import update
from mlops_platform.admin.filters import AgeFilter, LookUpFilter, LookUpMedia
from mlops_platform.admin.lookups import LONGEST_SEARCH
from mlops_platform.admin.pages import OperatorAdmin, counted
from mlops_platform.api.errors import Conflict

MOST_AT_ONCE = 1000  # each change of priority is a transaction of its own
TOO_MANY = f"choose {counted(MOST_AT_ONCE, 'deployment')} or fewer at once."


related.register()


@admin.register(Deployment)
class DeploymentAdmin(LookUpMedia, Columns, Details, OperatorAdmin):
    """Newest first, by the index of the id, a UUIDv7."""

    list_display = [
        "name",
        "status_in_list",
        "where",
        "owner",
        "image_name",
        "wants",
        "reason",
        "submitted",
    ]
    sortable_by = ["submitted"]
    list_filter = [
        "status",
        "priority_class",
        "kind",
        ("owner", LookUpFilter),
        ("cluster", LookUpFilter),
        ("cluster__organization", LookUpFilter),
        LabelFilter,
        ("sweep", LookUpFilter),
        AgeFilter,
    ]
    list_select_related = ["cluster__organization", "owner", "priority_class"]
    search_fields = ["id", "name", "image", "owner__username"]  # in words: see search.py
    search_help_text = (
        "An id or its first 8 digits, the beginning of a name, an owner's whole name, a label such "
        "as team=vision, or a part of the image of what has not ended. Each finds 200 at most."
    )
    ordering = ["-pk"]
    paginator = DeploymentPaginator
    actions = ["stop", "submit_again"]
    change_form_template = "operators/deployment.html"
    unlisted = ["env", "command", "args", "idempotency_key", "idempotency_digest"]
    fieldsets = [
        (None, {"fields": ["name", "status_now", "reason", "needs", "position", "placed_on"]}),
        (
            "Whose",
            {
                "fields": [
                    *("in_cluster", "organization", "owner", "label_words"),
                    *("runs_again", "of_sweep", "id"),
                ]
            },
        ),
        (
            "What runs",
            {
                "fields": [
                    *("kind", "image", "image_digest", "command_line", "arguments"),
                    *("env_names", "secret_names", "mounts", "in_container"),
                ]
            },
        ),
        (
            "What it asks for",
            {
                "fields": [
                    "asks_for",
                    "priority",
                    "scheduling_key",
                    ("max_runtime_s", "simulated_runtime"),
                    ("grace_s", "max_retries"),
                    ("retry_rules", "on_preempt"),
                ]
            },
        ),
        (
            "Record",
            {
                "fields": [
                    ("created_at", "queued_at", "started_at"),
                    ("checkpoint_at", "due_at", "finished_at"),
                    ("preemption_count", "retry_count", "exit_code"),
                ]
            },
        ),
    ]
    readonly_fields = flatten_fieldsets(fieldsets)

    # --- Pages ---------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Deployment]:
        related = self.list_select_related
        return super().get_queryset(request).select_related(*related)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[DeploymentPage]:
        return DeploymentPage

    def get_urls(self) -> list[Any]:
        name = "deployments_deployment_output"
        return [path("<uuid:deployment_id>/output/", output.view, name=name), *super().get_urls()]

    def prepare(self, request: HttpRequest, rows: list[Any]) -> None:
        """Adds reasons and positions to the rows. The queries of `reasons_for`, and if any row is
        queued one more and a Redis round trip."""
        found = reasons_for(rows)
        queued = any(row.status == Status.QUEUED for row in rows)
        positions = positions_of(rows, class_names(request)) if queued else {}
        for row in rows:
            row.found_reason, row.found_position = found.get(row.pk), positions.get(row.pk)

    def totals(self, request: HttpRequest, changelist: ChangeList) -> list[tuple[str, Any]]:
        """What those have allocated that belong to the chosen owner, cluster or organization. One
        query, none where none of them is chosen."""
        return related.totals(changelist.get_filters_params())

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context["timeline"] = timeline(context["original"])
        return super().render_change_form(request, context, *args, **kwargs)

    def pointless_actions(self, instance: Deployment) -> list[str]:
        if instance.status in ENDED:
            return ["stop", *(f"priority_{name}" for name in priority_classes())]
        return [f"priority_{instance.priority_class.name}"]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Deployment], search_term: str
    ) -> tuple[QuerySet[Deployment], bool]:
        if not search_term.strip():
            return queryset, False
        return queryset.filter(search.find(search_term[:LONGEST_SEARCH])), False

    # --- Permissions ---------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # there is no form: operators change deployments by actions

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("deployments.change_deployment")

    # --- Actions -------------------------------------------------------------------------------

    def get_actions(self, request: HttpRequest) -> Any:
        """With one action for each priority class."""
        actions: dict[str, Any] = super().get_actions(request)
        if "stop" in actions:
            for name in class_names(request):
                action = f"priority_{name}"
                actions[action] = (partial(give_priority, name=name), action, f"Priority {name}")
        return actions

    @admin.action(description="Stop", permissions=["operate"])
    def stop(self, request: HttpRequest, queryset: QuerySet[Deployment]) -> HttpResponse | None:
        """Stop, after a confirmation: a job loses its work since the last checkpoint."""
        rows = queryset.order_by()
        by_status = dict(rows.values_list("status").annotate(Count("pk")))
        running = sum(by_status.get(status, 0) for status in PLACED)
        ended = sum(by_status.get(status, 0) for status in ENDED)
        waiting = by_status.get(Status.QUEUED, 0)
        lines = (
            (running, "running: what it has not saved is lost."),
            (waiting, "waiting: out of the queue."),
            (ended, "ended before: left alone."),
        )
        consequences = [f"{number} {line}" for number, line in lines if number]
        total = counted(sum(by_status.values()), "deployment")
        if question := self.confirm(request, f"Stop {total}?", consequences):
            return question
        had_ended = rows.filter(status__in=ENDED).values_list("name", flat=True)
        refused = [f"{name} had ended already" for name in had_ended[:MOST_AT_ONCE]]
        stopped = stop.stop(list(rows.values_list("pk", flat=True)), operator(request))
        self.report(
            request,
            f"Stopped {counted(stopped, 'deployment')}." if stopped else None,
            refused,
            f"Left {counted(len(refused), 'deployment')} alone",
        )
        return None

    @admin.action(description="Submit again", permissions=["operate"])
    def submit_again(
        self, request: HttpRequest, queryset: QuerySet[Deployment]
    ) -> HttpResponse | None:
        """Submit each again for its owner, after a confirmation; timelines name the operator."""
        rows = list(queryset.defer(None)[: MOST_AT_ONCE + 1])
        if len(rows) > MOST_AT_ONCE:
            self.report(request, None, [TOO_MANY])
            return None
        consequences = [
            "Each is a new deployment of the same owner in the same cluster, and counts against "
            "the owner's quota. Its timeline names you.",
        ]
        total = counted(len(rows), "deployment")
        if question := self.confirm(request, f"Submit {total} again?", consequences):
            return question
        submitted, refused = again.submit(rows, operator(request))
        done = f"Submitted {counted(submitted, 'deployment')} again." if submitted else None
        self.report(request, done, refused, f"Refused {counted(len(refused), 'deployment')}")
        return None


def give_priority(
    page: DeploymentAdmin, request: HttpRequest, queryset: QuerySet[Deployment], *, name: str
) -> None:
    """Change each priority in a transaction of its own: a refusal stops no other change."""
    rows = list(queryset[: MOST_AT_ONCE + 1])
    if len(rows) > MOST_AT_ONCE:
        page.report(request, None, [TOO_MANY])
        return
    changed, had, refused = 0, 0, []
    for row in rows:
        if row.priority_class.name == name:
            had += 1
            continue
        try:
            update.change_deployment(operator(request), row, {}, priority=name)
        except Conflict as refusal:
            refused.append(f"{row.name}: {refusal.detail}")
        else:
            changed += 1
    done = [f"Gave {counted(changed, 'deployment')} priority {name}."] if changed else []
    if had:
        done.append(f"{counted(had, 'deployment')} had it already.")
    page.report(request, " ".join(done), refused, f"Refused {counted(len(refused), 'deployment')}")


def class_names(request: HttpRequest) -> list[str]:
    """The names of all priority classes, most urgent first; one query for each request."""
    if not hasattr(request, "priority_class_names"):
        names = list(priority_classes())
        setattr(request, "priority_class_names", names)  # noqa: B010 - not HttpRequest's own
    found: list[str] = getattr(request, "priority_class_names")  # noqa: B009 - as above
    return found


def operator(request: HttpRequest) -> User:
    return cast(User, request.user)  # the admin has checked that a user is logged in
