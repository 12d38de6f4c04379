"""News of deployments, each sent inside the transaction that made it."""

from django.dispatch import Signal

# cluster_id, deployment_ids, trigger ("STOPPED", "FINISHED" or "CHANGED"): capacity was freed, or
# a queued deployment left or changed; with in_queue=False none of them was or is queued. News of a
# single new deployment is post_save(created), and deployments_submitted where it has an
# Idempotency-Key.
deployment_stopped = Signal()

# deployments (just inserted together, with their clusters): a bulk insert sends no post_save.
deployments_submitted = Signal()
