"""What the operators' lists and pages have in common."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IS_POPUP_VAR
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import cached_property
from rest_framework.exceptions import NotFound

from mlops_platform.admin.lookups import LookUpAdmin
from mlops_platform.admin.sections import WithSections
from mlops_platform.api.errors import Conflict

MOST_COUNTED = 10_000
NAMED = 5  # of those that an action concerned, the rest are counted
FROM_PAGE = "_from_page"


class AtLeast(int):
    """A count that stopped early: a number to page by, `10000+` to read."""

    def __str__(self) -> str:
        return f"{int(self)}+"


class BoundedPaginator(Paginator):
    """Counts to 10,000 at most, so that a list of millions costs no more than one page of it.

    Operators do not page further than that; filters and search lead there.
    """

    most = MOST_COUNTED

    @cached_property
    def count(self) -> int:
        counted = self.count_to(self.most + 1)
        return counted if counted <= self.most else AtLeast(self.most)

    def count_to(self, most: int) -> int:
        """How many rows there are, or `most` where there are more. One query."""
        rows: Any = self.object_list
        return int(rows.order_by()[:most].count())


class HistoryPaginator(BoundedPaginator):
    """Counts to 1,000: a history has long more, and some filters look at each row that counts."""

    most = 1_000


class PageOfRows(ChangeList):
    """Reads its rows at once, so that one query can look up what a column shows of all rows."""

    model_admin: "OperatorAdmin"

    def get_queryset(self, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        return super().get_queryset(*args, **kwargs).defer(*self.model_admin.unlisted)

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.query and not self.get_filters_params():
            self.full_result_count = self.result_count  # else the page offers to show all of them
        rows = self.read()
        self.model_admin.prepare(request, rows)
        self.result_list = rows

    def read(self) -> list[Any]:
        """The rows of the page. One query."""
        return list(self.result_list)

    @property
    def bounds(self) -> tuple[int, int]:
        """The number of the page's first row in the list, from 0, and the one after its last."""
        if self.multi_page and not (self.show_all and self.can_show_all):
            last = self.page_num * self.list_per_page
            return last - self.list_per_page, last
        return 0, int(self.result_count)


class OperatorAdmin(WithSections, LookUpAdmin):
    """A list with a fixed number of queries, and a page that offers the list's actions.

    Each action is also a button on the page of one object; it posts to the list and comes back.
    """

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    change_form_template = "operators/change_form.html"
    change_list_template = "operators/change_list.html"
    unlisted: Sequence[str] = ()  # columns too heavy for the list

    def prepare(self, request: HttpRequest, rows: list[Any]) -> None:
        """Look up what the columns of these rows show, in a fixed number of queries."""

    def totals(self, request: HttpRequest, changelist: ChangeList) -> Sequence[tuple[str, Any]]:
        """Names and values to show above the list, of all that the filters leave."""
        return ()

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        answer = super().changelist_view(request, extra_context)
        shown: dict[str, Any] = getattr(answer, "context_data", None) or {}
        if "cl" in shown:
            shown["totals"] = self.totals(request, shown["cl"])
        return answer

    def pointless_actions(self, instance: Any) -> Collection[str]:
        """The actions that would change nothing of this object: its page does not offer them."""
        return []

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return PageOfRows

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        found = super().get_object(request, object_id, from_field)
        if found is not None:
            self.prepare(request, [found])
        return found

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        actions = {} if IS_POPUP_VAR in request.GET else self.get_actions(request)
        pointless = self.pointless_actions(context["original"]) if context["original"] else []
        context["object_actions"] = [
            (action[1], action[2])
            for action in actions.values()
            if action and action[1] != "delete_selected" and action[1] not in pointless
        ]
        context["checkbox_name"], context["from_page"] = ACTION_CHECKBOX_NAME, FROM_PAGE
        return super().render_change_form(request, context, *args, **kwargs)

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *args: Any
    ) -> HttpResponse | None:
        """Back to the page that the action was started from."""
        response = super().response_action(request, queryset, *args)
        selected = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if FROM_PAGE in request.POST and isinstance(response, HttpResponseRedirect) and selected:
            name = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
            return HttpResponseRedirect(reverse(name, args=selected[:1]))
        return response

    def confirm(
        self, request: HttpRequest, title: str, consequences: Sequence[str]
    ) -> TemplateResponse | None:
        """The page that asks before an action is done; None once the operator has said yes."""
        if "confirmed" in request.POST:
            return None
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "consequences": consequences,
            "action": request.POST.get("action", ""),
            "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "checkbox_name": ACTION_CHECKBOX_NAME,
            "select_across": request.POST.get("select_across", "0"),
            "from_page": FROM_PAGE if FROM_PAGE in request.POST else "",
        }
        return TemplateResponse(request, "operators/confirm.html", context)

    def set_state(
        self,
        request: HttpRequest,
        rows: Iterable[Any],
        service: Callable[[Any], Any],
        state: str,
        done: str,
    ) -> None:
        """Call the service for each row in another state, and report what came of all of them."""
        changed, refused = 0, []
        for row in rows:
            if self.has_state(row, state):
                refused.append(f"{row} is {state} already")
                continue
            try:
                service(row)
            except NotFound:
                refused.append(f"{row} is gone")
            except Conflict:
                refused.append(f"{row} is being deleted")
            else:
                self.log_change(request, row, f"{done}.")
                changed += 1
        total = counted(changed, str(self.opts.verbose_name))
        self.report(request, f"{done} {total}." if changed else None, refused, "Left as they were")

    def has_state(self, row: Any, state: str) -> bool:
        """Whether the row has the state already, so that nothing is to be done."""
        return bool(row.state == state)

    def report(
        self, request: HttpRequest, done: str | None, refused: Sequence[str], what: str = "Refused"
    ) -> None:
        """Show what an action did, and what it refused."""
        if done:
            self.message_user(request, done, messages.SUCCESS)
        if refused:
            self.message_user(request, f"{what}: {some_of(refused, '; ')}", messages.WARNING)


def some_of(sentences: Sequence[str], separator: str = ", ") -> str:
    """The first sentences, and how many more there are."""
    shown = separator.join(sentences[:NAMED])
    more = len(sentences) - NAMED
    return f"{shown}{separator}and {more} more" if more > 0 else shown


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 cluster`, `2 clusters`."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"
