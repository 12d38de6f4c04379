"""What others may want to know about a cluster; each is sent inside the transaction that did it."""

from django.dispatch import Signal

# cluster_id: its totals, policy or state changed, so what waits may start now.
cluster_changed = Signal()

# cluster (its row locked): who has submitted what begins or ceases to matter to its scheduler.
owners_matter = Signal()

# cluster (its row locked), force: it is about to be deleted. Whoever keeps something in it removes
# that now, or raises a Conflict where it is still in use and `force` is not given.
cluster_deleting = Signal()

# cluster (its row locked): its state is DELETING from now on, for containers run in it. Whoever
# runs them stops them, and deletes the cluster in the end.
cluster_closing = Signal()

# cluster_id (its row locked), node_id, name: a node has another name now.
node_renamed = Signal()

# cluster_id (its row locked). Each receiver answers the ids, as text, of the nodes on which
# somebody is who holds nothing in the books any more: evicted, and not ended yet.
guests_sought = Signal()
