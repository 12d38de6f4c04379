"""Fills `folded` for the users that are there.

It stays null for a user whom a process of before registers during the upgrade, and for the later
one of two users whose names are the same by now.
"""

import unicodedata

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

BATCH = 1000


def fill(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    users = apps.get_model("accounts", "User").objects
    taken = set(
        users.exclude(folded=None).values_list("folded", flat=True)
    )  # after an interruption
    batch = []
    for user in users.filter(folded=None).only("username").order_by("pk").iterator(BATCH):
        name = unicodedata.normalize("NFKC", user.username).casefold()
        user.folded = unicodedata.normalize("NFKC", name)
        if user.folded not in taken:
            taken.add(user.folded)
            batch.append(user)
        if len(batch) == BATCH:
            users.bulk_update(batch, ["folded"])
            batch = []
    users.bulk_update(batch, ["folded"])


class Migration(migrations.Migration):
    atomic = False  # no row stays locked for longer than its batch takes

    dependencies = [
        ("accounts", "0003_folded_names"),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
    ]
