"""The statements that Django's query language cannot say."""

from deployments.usage import intervals

# The key is part of the guard: a request that was changed meanwhile is not what was planned for.
# A simulated one runs at once; any other waits until its runtime confirms that it runs.
# What takes whole nodes has what it was given as its request, for as long as it is there.
# A snapshot's time is that of its first statement, which may see what has been queued since:
# nothing starts before it was queued. The same statement opens the intervals of what is allocated.
_START = """
UPDATE deployments_deployment d
   SET status = CASE c.runtime WHEN 'simulated' THEN 'RUNNING' ELSE 'STARTING' END,
       attempt = d.attempt + 1, admitted_at = GREATEST(%(now)s, d.queued_at),
       checkpoint_at = NULL, exit_code = NULL,
       started_at = CASE c.runtime WHEN 'simulated' THEN GREATEST(%(now)s, d.queued_at) END,
       reason_code = '', reason_details = '{}', placement = p.placement,
       ran_on = CASE WHEN p.nodes IS NULL OR d.ran_on @> p.nodes THEN d.ran_on
           ELSE (SELECT array_agg(DISTINCT node) FROM unnest(d.ran_on || p.nodes) node) END,
       cpu_milli = coalesce(p.cpu_milli, d.cpu_milli), ram_mib = coalesce(p.ram_mib, d.ram_mib),
       gpu = coalesce(p.gpu, d.gpu),
       whole = CASE WHEN p.gpu IS NULL THEN d.whole ELSE d.whole || jsonb_build_object(
           'asked', jsonb_build_object(
               'cpu_milli', d.cpu_milli, 'ram_mib', d.ram_mib, 'gpu', d.gpu),
           'given', jsonb_build_object(
               'cpu_milli', p.cpu_milli, 'ram_mib', p.ram_mib, 'gpu', p.gpu)) END,
       avoided_node_id = NULL, avoid_until = NULL,
       scheduling_key = CASE WHEN d.avoided_node_id IS NULL THEN d.scheduling_key
           ELSE regexp_replace(d.scheduling_key, '/a[0-9a-f]{32}', '') END,
       due_at = CASE c.runtime WHEN 'simulated' THEN
           GREATEST(%(now)s, d.queued_at)
           + LEAST(d.simulated_runtime_s + d.simulated_runtime_extra_ms / 1000.0,
                   d.max_runtime_s) * interval '1 second' END
  FROM (SELECT *, (SELECT array_agg(each ->> 'node_id')::uuid[]
                     FROM jsonb_array_elements(placement) each
                    WHERE each ->> 'node_id' IS NOT NULL) AS nodes
          FROM unnest(%(ids)s::uuid[], %(keys)s::text[], %(placements)s::jsonb[],
                      %(cpus)s::bigint[], %(rams)s::bigint[], %(gpus)s::bigint[])
               AS p(id, scheduling_key, placement, cpu_milli, ram_mib, gpu)) p, clusters_cluster c
 WHERE d.id = p.id AND d.cluster_id = %(cluster)s AND c.id = d.cluster_id AND d.status = 'QUEUED'
   AND d.scheduling_key = p.scheduling_key AND d.pending_dependencies = 0 AND d.retry_at IS NULL
RETURNING d.*
"""
START = f"""
WITH started AS ({_START}), opened AS ({intervals.begin_of("started", "d.admitted_at")})
SELECT id, status, admitted_at FROM started
"""  # noqa: S608 - of constants

# Back to QUEUED in its old place: the submit time stays. A drain is no preemption. The last one
# that the policy allows shows in the key. What is not to wait again after a preemption fails.
# What really runs has to go first: it is STOPPING until then. Its capacity is its preemptor's
# already; where it leaves a closed node and makes way for none, it keeps it until it is gone. The
# same statement closes the intervals of what is not allocated any more.
_EVICT = """
UPDATE deployments_deployment d
   SET status = CASE WHEN now.leaves THEN 'STOPPING' ELSE p.goes_to END,
       next_status = CASE WHEN now.leaves THEN p.goes_to ELSE '' END, reason_code = p.code,
       reason_details = p.details || p.preemptor || CASE p.goes_to WHEN 'QUEUED' THEN '{}'::jsonb
                        ELSE '{"ended_by": "on_preempt"}' END,
       due_at = NULL,
       preemption_count = d.preemption_count + p.counts, yielded = now.leaves AND p.counts > 0,
       scheduling_key = CASE WHEN p.counts > 0
                AND d.preemption_count + p.counts >= now.max_preemptions
                AND d.scheduling_key !~ '/p(/u|$)'
           THEN regexp_replace(d.scheduling_key, '(/u[0-9a-f]{32})?$', '/p\\1')
           ELSE d.scheduling_key END,
       placement = CASE WHEN now.leaves THEN d.placement ELSE '[]' END,
       cpu_milli = CASE WHEN p.asks_again
           THEN (d.whole #>> '{asked,cpu_milli}')::bigint ELSE d.cpu_milli END,
       ram_mib = CASE WHEN p.asks_again
           THEN (d.whole #>> '{asked,ram_mib}')::bigint ELSE d.ram_mib END,
       gpu = CASE WHEN p.asks_again THEN (d.whole #>> '{asked,gpu}')::bigint ELSE d.gpu END,
       whole = CASE WHEN p.asks_again THEN d.whole - 'asked' ELSE d.whole END,
       started_at = CASE WHEN now.leaves OR p.goes_to = 'FAILED' THEN d.started_at END,
       checkpoint_at = CASE WHEN now.leaves OR p.goes_to = 'FAILED' THEN d.checkpoint_at END,
       finished_at = CASE WHEN NOT now.leaves AND p.goes_to = 'FAILED'
           THEN GREATEST(%(now)s, d.started_at) END,
       queued_at = CASE WHEN now.leaves THEN d.queued_at ELSE %(now)s END,
       stop_by = CASE WHEN now.leaves THEN %(now)s + d.grace_s * interval '1 second' END
  FROM (SELECT e.*, CASE WHEN e.counts > 0 AND victim.on_preempt = 'fail'
                    THEN 'FAILED' ELSE 'QUEUED' END AS goes_to,
               victim.whole ? 'asked' AND cluster.runtime = 'simulated'
                   AND NOT (e.counts > 0 AND victim.on_preempt = 'fail') AS asks_again,
               CASE WHEN preemptor.name > '' THEN jsonb_build_object(
                   'by_name', preemptor.name, 'by_owner', its_owner.username)
               ELSE '{}' END AS preemptor, owner.username AS owner,
               victim.checkpoint_at AS saved_at,
               victim.kind = 'service' AS keeps
          FROM unnest(%(ids)s::uuid[], %(codes)s::text[], %(details)s::jsonb[], %(counts)s::int[])
               AS e(id, code, details, counts)
          JOIN deployments_deployment victim ON victim.id = e.id
          JOIN accounts_user owner ON owner.id = victim.owner_id
          JOIN clusters_cluster cluster ON cluster.id = victim.cluster_id
          LEFT JOIN deployments_deployment preemptor ON preemptor.id = (e.details ->> 'by')::uuid
          LEFT JOIN accounts_user its_owner ON its_owner.id = preemptor.owner_id) p,
       (SELECT runtime <> 'simulated' AS leaves, max_preemptions
          FROM clusters_cluster WHERE id = %(cluster)s) now
 WHERE d.id = p.id AND d.cluster_id = %(cluster)s AND d.status IN ('STARTING', 'RUNNING')
RETURNING d.id, d.status, d.yielded, p.preemptor, d.name, p.owner, 'evicted' AS outcome, p.saved_at,
          p.keeps
"""
_GONE = "(SELECT * FROM evicted WHERE status <> 'STOPPING' OR yielded) line"
EVICT = f"""
WITH evicted AS ({_EVICT}), ended AS ({intervals.END.format(lines=_GONE)})
SELECT id::text, status, yielded, preemptor, name, owner FROM evicted
"""  # noqa: S608 - of constants

PLACED_IN_PART = """
SELECT d.id FROM deployments_deployment d
 WHERE d.status IN ('STARTING', 'RUNNING', 'STOPPING') AND d.placement <> '[]'
   AND d.replicas <> (SELECT sum((p ->> 'replicas')::int) FROM jsonb_array_elements(d.placement) p)
 ORDER BY d.id LIMIT %s
"""

# Each node's counters beside what the placements say; those that differ.
NODES_MISCOUNTED = """
SELECT n.id, n.name
  FROM clusters_node n
  LEFT JOIN (
       SELECT (p ->> 'node_id')::uuid AS node_id,
              sum(d.cpu_milli * (p ->> 'replicas')::int) AS cpu_milli,
              sum(d.ram_mib * (p ->> 'replicas')::int) AS ram_mib,
              sum(d.gpu * (p ->> 'replicas')::int) AS gpu
         FROM deployments_deployment d, jsonb_array_elements(d.placement) p
        WHERE d.status IN ('STARTING', 'RUNNING', 'STOPPING') AND NOT d.yielded
        GROUP BY 1) placed ON placed.node_id = n.id
 WHERE (n.allocated_cpu_milli, n.allocated_ram_mib, n.allocated_gpu)
       <> (coalesce(placed.cpu_milli, 0), coalesce(placed.ram_mib, 0), coalesce(placed.gpu, 0))
 ORDER BY n.id
"""

# What each deployment of a cluster that is not deleted has allocated on each node beside what its
# open intervals say; where they differ.
INTERVALS_OFF = """
WITH placed AS (
    SELECT d.id, (p ->> 'node_id')::uuid AS node_id, d.attempt,
           sum(d.cpu_milli * (p ->> 'replicas')::int) AS cpu_milli,
           sum(d.ram_mib * (p ->> 'replicas')::int) AS ram_mib,
           sum(d.gpu * (p ->> 'replicas')::int) AS gpu
      FROM deployments_deployment d
      JOIN clusters_cluster c ON c.id = d.cluster_id AND c.deleted_at IS NULL,
           jsonb_array_elements(d.placement) p
     WHERE d.status IN ('STARTING', 'RUNNING', 'STOPPING') AND NOT d.yielded
     GROUP BY 1, 2, 3),
open AS (
    SELECT deployment_id AS id, node_id, attempt, sum(cpu_milli) AS cpu_milli,
           sum(ram_mib) AS ram_mib, sum(gpu) AS gpu
      FROM deployments_allocationinterval WHERE NOT is_summed AND end_ms IS NULL
     GROUP BY 1, 2, 3)
(SELECT id, node_id FROM (TABLE placed EXCEPT TABLE open) missing
 UNION
 SELECT id, node_id FROM (TABLE open EXCEPT TABLE placed) stray)
 ORDER BY 1, 2 LIMIT %s
"""

# Each counter of dependencies beside what they are; those that differ.
PENDING_MISCOUNTED = """
SELECT d.id, d.pending_dependencies, coalesce(truth.pending, 0)
  FROM deployments_deployment d
  LEFT JOIN (
       SELECT e.from_deployment_id AS id,
              count(*) FILTER (WHERE needed.status <> 'COMPLETED') AS pending
         FROM deployments_deployment_depends_on e
         JOIN deployments_deployment needed ON needed.id = e.to_deployment_id
        GROUP BY 1) truth ON truth.id = d.id
 WHERE d.pending_dependencies <> coalesce(truth.pending, 0)
 ORDER BY d.id LIMIT %s
"""

CHANGE_WAIT_REASONS = """
UPDATE deployments_waitreason w SET code = p.code, details = p.details
  FROM unnest(%(ids)s::bigint[], %(codes)s::text[], %(details)s::jsonb[]) AS p(id, code, details)
 WHERE w.id = p.id
"""

CLOSED_BY_NONE = """
SELECT n.id, n.name FROM clusters_node n
 WHERE n.drain ? 'window'
   AND NOT EXISTS (SELECT FROM clusters_maintenancewindow w
                     JOIN clusters_maintenancewindow_nodes place
                       ON place.maintenancewindow_id = w.id AND place.node_id = n.id
                    WHERE w.state = 'OPEN' AND w.id::text = n.drain ->> 'window')
 ORDER BY n.id LIMIT %s
"""

IN_TWO_WINDOWS = """
SELECT DISTINCT n.id, n.name
  FROM clusters_maintenancewindow one
  JOIN clusters_maintenancewindow other
    ON other.cluster_id = one.cluster_id AND other.id > one.id
   AND other.begins_at < one.ends_at AND one.begins_at < other.ends_at
  JOIN clusters_maintenancewindow_nodes its ON its.maintenancewindow_id = one.id
  JOIN clusters_maintenancewindow_nodes theirs
    ON theirs.maintenancewindow_id = other.id AND theirs.node_id = its.node_id
  JOIN clusters_node n ON n.id = its.node_id
 WHERE one.state <> 'ENDED' AND other.state <> 'ENDED'
 ORDER BY n.id LIMIT %s
"""
