"""`manage.py rotate_credentials`: everything that is sealed, sealed again with the first key."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mlops_platform.sealing import rotate


class Command(BaseCommand):
    help = "Seal all credentials again with the first of CREDENTIALS_KEYS, so that others can go."

    def handle(self, *args: Any, **options: Any) -> None:
        unopened = 0
        for each in rotate():
            self.stdout.write(
                f"{each.what}: {each.resealed} sealed again, {each.current} under the first key "
                f"already, {each.unopened} that no key opens."
            )
            unopened += each.unopened
        if unopened:
            raise CommandError(
                f"{unopened} cannot be opened: add the key that sealed them to CREDENTIALS_KEYS "
                "and run this again, or attach them anew."
            )
