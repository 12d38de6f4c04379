"""Opens the secrets of the deployments that are about to start, and records their use."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any
from uuid import UUID

from clusters.models import Volume
from deployments.models import Deployment
from deployments.queries.secrets import key_of
from deployments.reasons import codes
from deployments.reconciler.starts.bucket_fetches import references
from deployments.runtimes.base import Secrets
from organizations.secrets.owners import Scope
from organizations.secrets.queries import OpenedSecret, SecretKey, opened
from organizations.secrets.uses import Use, record_uses


class NoSecret(Exception):  # noqa: N818 - a state of stored data, not a mistake
    """A deployment cannot start for want of a secret: `code` says why. Holds no value, and no name
    of a person's secret."""

    def __init__(self, code: str, reference: dict[str, str]) -> None:
        super().__init__(code)
        self.code = code
        self.details: dict[str, Any] = {
            "target": reference.get("env") or reference.get("file") or reference["volume"]
        }
        if reference["scope"] == Scope.ORGANIZATION:
            self.details["secret"] = reference["name"]


class SecretValues:
    """The newest values of the secrets that these rows of one organization name, and of those that
    the buckets name which they mount. One query, none where they name none."""

    def __init__(
        self,
        organization_id: UUID,
        rows: Sequence[Deployment],
        volumes: Mapping[str, Volume] = MappingProxyType({}),
    ) -> None:
        self._organization_id = organization_id
        named = {row.pk: [*row.secrets, *references(row, volumes)] for row in rows}
        self._named = {pk: each for pk, each in named.items() if each}
        self._rows = [row for row in rows if row.pk in self._named]
        self._opened = opened(
            {self._key(row, each) for row in self._rows for each in self._named[row.pk]}
        )

    def of(self, row: Deployment) -> Secrets:
        """Raises NoSecret."""
        env, files = {}, {}
        for reference, value in self._values(row):
            if "env" in reference:
                env[reference["env"]] = value
            elif "file" in reference:
                files[reference["file"]] = value
        return Secrets(env, files)

    def keys_of_buckets(self, row: Deployment) -> Mapping[str, Mapping[str, str]]:
        """The parts of access keys, by the names of the row's volumes. Raises NoSecret."""
        keys: dict[str, dict[str, str]] = {}
        for reference, value in self._values(row):
            if "volume" in reference:
                keys.setdefault(reference["volume"], {})[reference["part"]] = value
        return keys

    def _values(self, row: Deployment) -> Iterator[tuple[dict[str, str], str]]:
        for reference, secret in self._of(row):
            if secret is None:
                there = self._key(row, reference) in self._opened
                code = codes.SECRET_SEALED if there else codes.SECRET_MISSING
                raise NoSecret(code, reference)
            yield reference, secret.value

    def record_uses(self) -> None:
        """Record the uses of all rows that have all of their secrets, before any value leaves: a
        worker that is killed then has recorded too much, never too little."""
        uses = set()
        for row in self._rows:
            given = [secret for _, secret in self._of(row)]
            if None not in given:
                uses |= {
                    Use(each.id, each.version, row.pk, row.attempt, row.owner_id)
                    for each in given
                    if each is not None
                }
        record_uses(uses)

    def _of(self, row: Deployment) -> Iterator[tuple[dict[str, str], OpenedSecret | None]]:
        for reference in self._named.get(row.pk, ()):
            yield reference, self._opened.get(self._key(row, reference))

    def _key(self, row: Deployment, reference: dict[str, str]) -> SecretKey:
        return key_of(self._organization_id, row, reference)
