"""What others may want to know about a cluster; each is sent inside the transaction that did it."""

from django.dispatch import Signal

# cluster_id: its totals, policy or state changed, so what waits may start now.
cluster_changed = Signal()

# cluster (its row locked), force: it is about to be deleted. Whoever keeps something in it removes
# that now, or raises a Conflict where it is still in use and `force` is not given.
cluster_deleting = Signal()

# cluster_id (its row locked), node_id, name: a node has another name now.
node_renamed = Signal()

# cluster (its row locked): it goes as soon as nothing runs in it any more, so all of it is to stop.
cluster_closing = Signal()
