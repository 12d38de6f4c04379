"""A trigger that lets no transaction commit a change of a shown column without an event."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

_GUARD = """
CREATE FUNCTION change_has_an_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.name, OLD.status, OLD.placement, OLD.priority_class_id, OLD.started_at, OLD.finished_at,
        OLD.checkpoint_at, OLD.exit_code, OLD.attempt, OLD.retry_count, OLD.preemption_count,
        OLD.cpu_milli, OLD.ram_mib, OLD.gpu, OLD.replicas, OLD.node_selector)
       IS DISTINCT FROM
       (NEW.name, NEW.status, NEW.placement, NEW.priority_class_id, NEW.started_at, NEW.finished_at,
        NEW.checkpoint_at, NEW.exit_code, NEW.attempt, NEW.retry_count, NEW.preemption_count,
        NEW.cpu_milli, NEW.ram_mib, NEW.gpu, NEW.replicas, NEW.node_selector)
       AND NOT EXISTS (
           SELECT FROM deployments_deploymentevent WHERE deployment_id = NEW.id
              AND transaction_id = pg_current_xact_id()::text::bigint)
    THEN RAISE EXCEPTION 'deployment % changed without an event', NEW.id;
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER change_has_an_event AFTER UPDATE ON deployments_deployment
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION change_has_an_event();
"""
_GONE = """
DROP TRIGGER change_has_an_event ON deployments_deployment;
DROP FUNCTION change_has_an_event();
"""


@contextmanager
def every_change_needs_an_event() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(_GUARD)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(_GONE)
