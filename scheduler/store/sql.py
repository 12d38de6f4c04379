"""The statements that Django's query language cannot say."""

# The key is part of the guard: a request that was changed meanwhile is not what was planned for.
START = """
UPDATE deployments_deployment d
   SET status = 'RUNNING', started_at = %(now)s, checkpoint_at = NULL,
       reason_code = '', reason_details = '{}', placement = p.placement,
       due_at = %(now)s + LEAST(d.simulated_runtime_s, d.max_runtime_s) * interval '1 second'
  FROM unnest(%(ids)s::uuid[], %(keys)s::text[], %(placements)s::jsonb[])
       AS p(id, scheduling_key, placement)
 WHERE d.id = p.id AND d.cluster_id = %(cluster)s AND d.status = 'QUEUED'
   AND d.scheduling_key = p.scheduling_key AND d.pending_dependencies = 0
"""

# Back to QUEUED in its old place: the submit time stays. A drain is nobody's preemption.
EVICT = """
UPDATE deployments_deployment d
   SET status = 'QUEUED', reason_code = p.code, reason_details = p.details, placement = '[]',
       started_at = NULL, checkpoint_at = NULL, due_at = NULL, queued_at = %(now)s,
       preemption_count = d.preemption_count + p.counts
  FROM unnest(%(ids)s::uuid[], %(codes)s::text[], %(details)s::jsonb[], %(counts)s::int[])
       AS p(id, code, details, counts)
 WHERE d.id = p.id AND d.cluster_id = %(cluster)s AND d.status IN ('STARTING', 'RUNNING')
"""

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
        WHERE d.status IN ('STARTING', 'RUNNING', 'STOPPING')
        GROUP BY 1) held ON held.node_id = n.id
 WHERE (n.allocated_cpu_milli, n.allocated_ram_mib, n.allocated_gpu)
       <> (coalesce(held.cpu_milli, 0), coalesce(held.ram_mib, 0), coalesce(held.gpu, 0))
 ORDER BY n.id
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
