"""What the home reads, each with one statement. Rows are found by indexes or in small tables."""

# The oldest deployment of each cluster that no cycle has looked at. Each cluster and class is one
# look into an index.
OVERLOOKED = """
SELECT count(*), extract(epoch FROM statement_timestamp() - min(seen.queued_at)),
       (array_agg(c.name ORDER BY seen.queued_at))[1]
  FROM clusters_cluster c
 CROSS JOIN deployments_priorityclass p
 CROSS JOIN LATERAL (
       SELECT d.queued_at FROM deployments_deployment d
        WHERE d.cluster_id = c.id AND d.priority_class_id = p.id AND d.status = 'QUEUED'
          AND d.queued_at > coalesce(c.evaluated_at, '-infinity') AND d.pending_dependencies = 0
          AND d.retry_at IS NULL
        ORDER BY d.queued_at LIMIT 1) seen
 WHERE c.deleted_at IS NULL
"""

SLOW_CYCLES = """
SELECT count(*), (array_agg(c.name ORDER BY s.ms DESC))[1], max(s.ms)
  FROM (SELECT cluster_id, load_ms + plan_ms + apply_ms AS ms FROM scheduler_schedulingcycle
         WHERE started_at > statement_timestamp() - interval '10 minutes') s
  JOIN clusters_cluster c ON c.id = s.cluster_id
"""

ENDPOINTS = """
SELECT (SELECT count(*) FROM clusters_endpoint),
       (SELECT count(*) FROM clusters_endpoint WHERE away_since IS NOT NULL),
       (SELECT extract(epoch FROM statement_timestamp() - min(away_since)) FROM clusters_endpoint),
       (SELECT c.name FROM clusters_endpoint e JOIN clusters_cluster c ON c.id = e.cluster_id
         WHERE e.away_since IS NOT NULL ORDER BY e.away_since LIMIT 1),
       (SELECT count(*) FROM clusters_node),
       (SELECT count(*) FROM clusters_node WHERE observed = 'NOT_READY')
"""

AUDIT = """
SELECT breach_count, sentences ->> 0, extract(epoch FROM statement_timestamp() - ran_at)
  FROM scheduler_auditresult
"""

# Against the oldest size of the last seven days.
SIZE = """
SELECT pg_database_size(current_database()), before.size,
       extract(epoch FROM statement_timestamp() - before.at)
  FROM (SELECT 1) one LEFT JOIN LATERAL (
       SELECT size, at FROM scheduler_databasesize
        WHERE at > statement_timestamp() - interval '7 days' ORDER BY at LIMIT 1) before ON true
"""

# The delivery that is due for longest and that no worker has taken. Each webhook that is enabled
# is one look into an index. `off_s`: how many seconds ago at most a receiver began to fail that was
# switched off a day ago.
WEBHOOKS = """
SELECT count(*), count(*) FILTER (WHERE w.enabled AND w.failing_since IS NOT NULL),
       count(*) FILTER (WHERE NOT w.enabled AND w.failing_since IS NOT NULL),
       count(*) FILTER (WHERE NOT w.enabled
           AND w.failing_since > statement_timestamp() - %(off_s)s * interval '1 second'),
       coalesce(extract(epoch FROM statement_timestamp() - min(due.since)), 0),
       (array_agg(o.name ORDER BY due.since))[1]
  FROM deployments_webhook w
  JOIN organizations_organization o ON o.id = w.organization_id AND o.deleted_at IS NULL
  LEFT JOIN LATERAL (
       SELECT greatest(d.next_at, w.not_before) AS since FROM deployments_webhookdelivery d
        WHERE w.enabled AND coalesce(w.not_before, '-infinity') <= statement_timestamp()
          AND d.webhook_id = w.id AND d.status = 'pending' AND d.next_at <= statement_timestamp()
        ORDER BY d.next_at LIMIT 1) due ON true
"""

CLUSTERS = """
WITH waiting AS (
    SELECT cluster_id, count(*) AS number, min(queued_at) AS since
      FROM deployments_deployment WHERE status = 'QUEUED' GROUP BY cluster_id),
running AS (
    SELECT cluster_id, count(*) AS number FROM deployments_deployment
     WHERE status IN ('STARTING', 'RUNNING', 'STOPPING') GROUP BY cluster_id),
away AS (
    SELECT cluster_id, count(*) AS number FROM clusters_node
     WHERE observed = 'NOT_READY' GROUP BY cluster_id),
silent AS (
    SELECT cluster_id, count(*) AS number FROM clusters_endpoint
     WHERE away_since IS NOT NULL GROUP BY cluster_id)
SELECT c.id, c.name, o.name, c.state, c.allocated_gpu, c.total_gpu, c.allocated_cpu_milli,
       c.total_cpu_milli, coalesce(w.number, 0),
       coalesce(extract(epoch FROM statement_timestamp() - w.since), 0), coalesce(r.number, 0),
       coalesce(a.number, 0), coalesce(s.number, 0), c.id = ANY(%(failing)s::uuid[]) AS fails
  FROM clusters_cluster c JOIN organizations_organization o ON o.id = c.organization_id
  LEFT JOIN waiting w ON w.cluster_id = c.id LEFT JOIN running r ON r.cluster_id = c.id
  LEFT JOIN away a ON a.cluster_id = c.id LEFT JOIN silent s ON s.cluster_id = c.id
 WHERE c.deleted_at IS NULL
 ORDER BY fails DESC, coalesce(s.number, 0) DESC, coalesce(a.number, 0) DESC,
          (c.state <> 'ACTIVE' AND w.number > 0) DESC, w.since NULLS LAST, c.name
 LIMIT %(most)s
"""

# The organizations and the users with most GPUs, then cores, allocated.
ALLOCATED = """
WITH sums AS (
    SELECT c.organization_id, d.owner_id, grouping(d.owner_id) AS of_organization,
           sum(d.gpu * d.replicas) AS gpu, sum(d.cpu_milli::bigint * d.replicas) AS cpu,
           sum(d.ram_mib::bigint * d.replicas) AS ram, count(*) AS number
      FROM deployments_deployment d JOIN clusters_cluster c ON c.id = d.cluster_id
     WHERE d.status IN ('STARTING', 'RUNNING', 'STOPPING') AND NOT d.yielded
     GROUP BY GROUPING SETS ((c.organization_id), (d.owner_id))),
ranked AS (
    SELECT *, row_number() OVER (PARTITION BY of_organization ORDER BY gpu DESC, cpu DESC) AS place
      FROM sums)
SELECT r.of_organization = 1, coalesce(r.organization_id, r.owner_id), coalesce(o.name, u.username),
       r.gpu, r.cpu, r.ram, r.number
  FROM ranked r LEFT JOIN organizations_organization o ON o.id = r.organization_id
  LEFT JOIN accounts_user u ON u.id = r.owner_id
 WHERE r.place <= %(most)s ORDER BY 1 DESC, r.place
"""
