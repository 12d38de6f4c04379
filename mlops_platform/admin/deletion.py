"""The page that asks before a deletion, for what may have very many related rows."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest

MOST_COUNTED = 1000
MOST_NAMED = 20  # of the objects themselves


class BoundedDeletion(admin.ModelAdmin):
    """Counts what goes with an object, and what keeps it from going, kind by kind.

    Django's own page reads and names each of these rows. One query for each kind.
    """

    deleted_too: Collection[type[models.Model]] = ()
    """What protects an object in the tables, but is deleted by its `delete_model`, which refuses
    that where need be."""

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        rows = list(objs)
        counts = {self.opts.verbose_name_plural: _counted(len(rows))}
        lacking, protected = set[str](), list[str]()
        for relation, count in _related(self.opts, rows):
            kind = relation.related_model._meta
            deletes_it = relation.related_model in self.deleted_too
            if relation.on_delete is models.PROTECT and not deletes_it:
                protected.append(f"{_counted(count)} {kind.verbose_name_plural}")
                continue
            counts[kind.verbose_name_plural] = _counted(count)
            registered = self.admin_site._registry.get(relation.related_model)
            if registered is not None and not registered.has_delete_permission(request):
                lacking.add(str(kind.verbose_name))
        shown = [str(row) for row in rows[:MOST_NAMED]]
        return shown, counts, lacking, protected


def _related(options: Any, rows: Sequence[models.Model]) -> Iterator[tuple[Any, int]]:
    """The relations whose rows go with these rows, or protect them, with the numbers of these."""
    keys = [row.pk for row in rows]
    for relation in options.get_fields(include_hidden=True):
        if not relation.auto_created or relation.concrete or relation.many_to_many:
            continue
        if relation.on_delete not in {models.CASCADE, models.PROTECT}:
            continue
        found = relation.related_model._base_manager.filter(**{f"{relation.field.name}__in": keys})
        if count := found.order_by()[: MOST_COUNTED + 1].count():
            yield relation, count


def _counted(count: int) -> str:
    return f"{MOST_COUNTED:,} or more" if count > MOST_COUNTED else str(count)
