"""The statements that read the queue: only what could start, however many others wait.

All of it goes through the index `deployment_ready`: cluster, class, whether it is a gang, its GPUs,
CPUs and RAM in all, scheduling key, id. A size class is one priority class, gangs or not, and the
most that a workload of it may ask for.
"""

from scheduler.engine.queue.order import CPU_WEIGHT, GPU_WEIGHT, RAM_WEIGHT
from scheduler.engine.resources import ENDLESS
from scheduler.store.queue.score import request_sql, score_sql, share_sql

READY = """d.cluster_id = %(cluster)s AND d.status = 'QUEUED' AND d.pending_dependencies = 0
    AND d.retry_at IS NULL"""
GPU, CPU, RAM = map(request_sql, ("gpu", "cpu_milli", "ram_mib"))

SIZES = """
    unnest(%(classes)s::bigint[], %(gangs)s::boolean[], %(gpus)s::bigint[], %(cpus)s::bigint[],
           %(rams)s::bigint[])
        WITH ORDINALITY AS size(priority_class, gang, most_gpu, most_cpu, most_ram, number)
"""

# Whether only a stop or an eviction ends it.
ENDLESS_ONE = """
    (d.kind = 'service' AND d.max_runtime_s IS NULL AND d.simulated_runtime_s IS NULL) AS endless
"""
# Whether its replicas take whole nodes, or all GPUs of nodes: NODE or GPUS of the engine.
WHOLE = """
    CASE WHEN d.whole = '{}' THEN '' WHEN d.whole ? 'exclusive' THEN 'node'
         WHEN d.whole ? 'all_gpus' THEN 'gpus' ELSE '' END AS whole
"""
COLUMNS = f"""
    d.id::text, d.scheduling_key, p.name AS priority, d.cpu_milli, d.ram_mib, d.gpu, d.replicas,
    d.node_selector, d.volumes, d.avoided_node_id, d.max_runtime_s, d.owner_id, d.sweep_id::text,
    d.preemption_count, {ENDLESS_ONE}, {WHOLE},
    floor(extract(epoch FROM d.created_at) * 1000)::bigint AS submitted_ms,
    floor(extract(epoch FROM d.queued_at) * 1000)::bigint AS queued_ms
"""

# The classes of which any is ready besides some that are known.
CLASSES_WAITING = f"""
SELECT p.name FROM deployments_priorityclass p, LATERAL (
        SELECT d.id FROM deployments_deployment d
         WHERE {READY} AND d.priority_class_id = p.id AND d.id <> ALL(%(known)s::uuid[])
         ORDER BY d.created_at, d.id LIMIT 1) d
"""

# All that are ready, where these are few.
ALL = f"""
SELECT {COLUMNS}
  FROM deployments_deployment d JOIN deployments_priorityclass p ON p.id = d.priority_class_id
 WHERE {READY} LIMIT %(most)s
"""

# How many wait of each scheduling key, and how many of these came before one of them.
GROUPS = f"""
SELECT p.name, line.scheduling_key, line.gang, line.cpu, line.ram, line.gpu, count(*),
       count(*) FILTER (WHERE line.id < %(before)s)
  FROM (SELECT d.id, d.priority_class_id, d.scheduling_key, (d.replicas > 1) AS gang,
               {CPU} AS cpu, {RAM} AS ram, {GPU} AS gpu
          FROM deployments_deployment d WHERE {READY} AND d.id <> %(own)s
         LIMIT %(most_counted)s) line
  JOIN deployments_priorityclass p ON p.id = line.priority_class_id
 GROUP BY 1, 2, 3, 4, 5, 6 LIMIT %(most_groups)s
"""

# The first of each scheduling key that fits in its size class. From key to key through the index;
# too much CPU or RAM skips all that is larger, so the cost follows what fits. `hops` shows whether
# the scan of a size class was cut short.
_HOPS = f"""
WITH RECURSIVE hop AS (
    SELECT size.*, 0 AS hops, NULL::uuid AS id, -1::bigint AS gpu, 0::bigint AS cpu,
           0::bigint AS ram, ''::varchar AS key
      FROM {SIZES}
    UNION ALL
    SELECT hop.priority_class, hop.gang, hop.most_gpu, hop.most_cpu, hop.most_ram, hop.number,
           hop.hops + 1, next.*
      FROM hop, LATERAL (
        SELECT d.id, {GPU}, {CPU}, {RAM}, d.scheduling_key
          FROM deployments_deployment d
         WHERE {READY} AND d.priority_class_id = hop.priority_class
           AND (d.replicas > 1) = hop.gang AND {GPU} <= hop.most_gpu
           AND ({GPU}, {CPU}, {RAM}, d.scheduling_key) > (
               hop.gpu,
               CASE WHEN hop.cpu > hop.most_cpu THEN {ENDLESS} ELSE hop.cpu END,
               CASE WHEN hop.ram > hop.most_ram THEN {ENDLESS} ELSE hop.ram END,
               hop.key)
         ORDER BY {GPU}, {CPU}, {RAM}, d.scheduling_key, d.id LIMIT 1) next
     WHERE hop.hops < %(most)s
)
"""
_FITS = "hop.cpu <= hop.most_cpu AND hop.ram <= hop.most_ram"
HEADS = f"""
{_HOPS}
SELECT {COLUMNS}, {_FITS} AS fits, hop.hops
  FROM hop JOIN deployments_deployment d ON d.id = hop.id
  JOIN deployments_priorityclass p ON p.id = d.priority_class_id
 WHERE ({_FITS}) OR hop.hops = %(most)s
"""

# What quotas leave: to each owner with an allocation or a quota of their own, and to all others.
_OWN = """
    unnest(%(owners)s::uuid[], %(owner_gpus)s::bigint[], %(owner_cpus)s::bigint[],
           %(owner_rams)s::bigint[]) AS own(owner, gpu, cpu, ram)
"""
_UNUSED = """LATERAL (
    SELECT coalesce(own.gpu, %(other_owner_gpus)s::bigint) AS gpu,
           coalesce(own.cpu, %(other_owner_cpus)s::bigint) AS cpu,
           coalesce(own.ram, %(other_owner_rams)s::bigint) AS ram) unused
"""
_WITHIN = f"{GPU} <= unused.gpu AND {CPU} <= unused.cpu AND {RAM} <= unused.ram"

# The same of those that their owner's quota allows.
HEADS_WITHIN = f"""
{_HOPS}
SELECT {COLUMNS}, {_FITS} AND {_WITHIN} AS fits, hop.hops
  FROM hop JOIN deployments_deployment d ON d.id = hop.id
  JOIN deployments_priorityclass p ON p.id = d.priority_class_id
  LEFT JOIN {_OWN} ON own.owner = d.owner_id, {_UNUSED}
 WHERE ({_FITS} AND {_WITHIN}) OR hop.hops = %(most)s
"""

# Behind the head of each key, at most so many, in submit order. Not by OFFSET: one that becomes
# ready before the head since it was read would bring the head in twice. By comparisons of rows, not
# by what is equal, for else PostgreSQL may take an index in the order of ids.
_HEAD = """head.gpu * head.replicas, head.cpu_milli * head.replicas, head.ram_mib * head.replicas,
               head.scheduling_key"""
MEMBERS = f"""
SELECT member.id::text, head.scheduling_key, member.endless, member.preemption_count,
       floor(extract(epoch FROM member.created_at) * 1000)::bigint AS submitted_ms,
       floor(extract(epoch FROM member.queued_at) * 1000)::bigint AS queued_ms
  FROM unnest(%(heads)s::uuid[], %(most)s::int[]) AS wanted(head, most)
  JOIN deployments_deployment head ON head.id = wanted.head,
       LATERAL (
        SELECT d.id, d.created_at, d.queued_at, d.preemption_count, {ENDLESS_ONE}
          FROM deployments_deployment d
         WHERE {READY} AND d.priority_class_id = head.priority_class_id
           AND (d.replicas > 1) = (head.replicas > 1)
           AND ({GPU}, {CPU}, {RAM}, d.scheduling_key, d.id) > ({_HEAD}, head.id)
           AND ({GPU}, {CPU}, {RAM}, d.scheduling_key) <= ({_HEAD})
         ORDER BY {GPU}, {CPU}, {RAM}, d.scheduling_key, d.id LIMIT wanted.most) member
"""

FITS = f"""
    (d.replicas > 1) = size.gang
    AND {GPU} <= size.most_gpu AND {CPU} <= size.most_cpu AND {RAM} <= size.most_ram
    AND d.id <> ALL(%(known)s::uuid[]) AND d.scheduling_key <> ALL(%(never)s::text[])
"""
IN_SIZE = f"{READY} AND d.priority_class_id = size.priority_class AND {FITS}"


# Written so that PostgreSQL takes an index with the order, in which the first few fit, as nearly
# all do, instead of reading and sorting all that match.
IN_ITS_SIZE = f"(SELECT bool_or({FITS}) FROM {SIZES} WHERE size.priority_class = p.id)"


# The first of each class by submit time, besides those that are known.
OLDEST = f"""
SELECT {COLUMNS}
  FROM deployments_priorityclass p, LATERAL (
        SELECT d.* FROM deployments_deployment d
         WHERE {READY} AND d.priority_class_id = p.id AND {IN_ITS_SIZE}
         ORDER BY d.created_at, d.id LIMIT 1) d
"""

# The first few of each class by how long they have waited, if at least since then.
STARVED = f"""
SELECT {COLUMNS}
  FROM deployments_priorityclass p, LATERAL (
        SELECT d.* FROM deployments_deployment d
         WHERE {READY} AND d.priority_class_id = p.id AND d.queued_at < %(since)s AND {IN_ITS_SIZE}
         ORDER BY d.queued_at, d.id LIMIT %(most)s) d
"""


# Each owner of waiting deployments to whom quotas leave anything: once for those that ask for no
# GPUs and once, where any GPUs are left, for the others. The query goes from owner to owner through
# the index `deployment_of_owner`, which then has what of theirs waits; it is ordered as that index
# is, for the index of all owners would lead through the rows of all clusters.
_WAITING = f"""
WITH RECURSIVE waiting AS (
    SELECT p.id AS priority_class, '00000000-0000-0000-0000-000000000000'::uuid AS owner
      FROM deployments_priorityclass p
    UNION ALL
    SELECT waiting.priority_class, (
        SELECT d.owner_id FROM deployments_deployment d
         WHERE {READY} AND d.priority_class_id = waiting.priority_class
           AND d.owner_id > waiting.owner
         ORDER BY d.owner_id, (d.gpu > 0), d.queued_at LIMIT 1)
      FROM waiting WHERE waiting.owner IS NOT NULL
), allowed AS (
    SELECT waiting.*, unused.*, asks_for_gpus
      FROM waiting LEFT JOIN {_OWN} ON own.owner = waiting.owner, {_UNUSED},
           unnest(ARRAY[false, true]) AS asks_for_gpus
     WHERE unused.cpu > 0 AND unused.ram > 0 AND (unused.gpu > 0 OR NOT asks_for_gpus)
)
"""
_OF_ALLOWED = f"""
    {READY} AND d.priority_class_id = unused.priority_class AND d.owner_id = unused.owner
    AND (d.gpu > 0) = unused.asks_for_gpus AND {_WITHIN}
"""

# The same of those that their owner's quota allows.
STARVED_WITHIN = f"""
{_WAITING}
SELECT {COLUMNS}
  FROM deployments_priorityclass p, LATERAL (
        SELECT d.* FROM allowed unused, LATERAL (
                SELECT d.* FROM deployments_deployment d
                 WHERE {_OF_ALLOWED} AND d.queued_at < %(since)s AND {IN_ITS_SIZE}
                 ORDER BY d.queued_at, d.id LIMIT %(most)s) d
         WHERE unused.priority_class = p.id
         ORDER BY d.queued_at, d.id LIMIT %(most)s) d
"""


SCORE = score_sql("%(gpu)s", "%(cpu)s", "%(ram)s")
_HOP_GPUS = share_sql("hop.gpu", GPU_WEIGHT, "%(gpu)s")
_HOP_CPUS = share_sql("hop.cpu", CPU_WEIGHT, "%(cpu)s")
_MOST_CPUS = share_sql("hop.most_cpu", CPU_WEIGHT, "%(cpu)s")
_MOST_RAM = share_sql("hop.most_ram", RAM_WEIGHT, "%(ram)s")

# The first by score in each size class, besides those that are known. From one pair of GPUs and
# CPUs to the next smaller one, of which only the most RAM can be the best; and no further than a
# score could still be better, even with the most RAM (and CPUs, for fewer GPUs) of the size class.
BEST = f"""
WITH RECURSIVE hop AS (
    SELECT size.*, NULL::uuid AS id, size.most_gpu + 1 AS gpu, 0::bigint AS cpu, 0::bigint AS ram,
           -1::numeric AS score, -1::numeric AS best
      FROM {SIZES}
    UNION ALL
    SELECT hop.priority_class, hop.gang, hop.most_gpu, hop.most_cpu, hop.most_ram, hop.number,
           next.*, greatest(hop.best, next.score)
      FROM hop, LATERAL (
        SELECT d.id, {GPU}, {CPU}, {RAM}, {SCORE}::numeric AS score
          FROM deployments_deployment d, LATERAL (SELECT hop.*) size
         WHERE {IN_SIZE}
           AND ({GPU}, {CPU}) < (
               hop.gpu,
               CASE WHEN hop.id IS NOT NULL
                     AND {_HOP_GPUS} + {_HOP_CPUS} + {_MOST_RAM} < hop.best
                    THEN -1 ELSE hop.cpu END)
         ORDER BY {GPU} DESC, {CPU} DESC, {RAM} DESC LIMIT 1) next
     WHERE hop.id IS NULL OR {_HOP_GPUS} + {_MOST_CPUS} + {_MOST_RAM} >= hop.best
)
SELECT {COLUMNS}
  FROM (SELECT hop.*, max(hop.score) OVER (PARTITION BY hop.number) AS top FROM hop) size,
       LATERAL (
        SELECT d.* FROM deployments_deployment d
         WHERE {IN_SIZE} AND {GPU} = size.gpu AND {CPU} = size.cpu
           AND {RAM} BETWEEN size.ram - %(ram)s / {RAM_WEIGHT} - 1 AND size.ram
           AND {SCORE} = size.score
         ORDER BY d.created_at, d.id LIMIT 1) d
  JOIN deployments_priorityclass p ON p.id = d.priority_class_id
 WHERE size.id IS NOT NULL AND size.score = size.top
"""

_SCORED = f"%(scored)s::int * {SCORE}"
_ORDER = f"ORDER BY -p.value, -{_SCORED}, d.created_at, d.id"
_AFTER = f"""(-p.value, -{_SCORED}, d.created_at, d.id) > (
        %(value)s::bigint, %(score)s::numeric, %(submitted)s::timestamptz, %(id)s::uuid)
"""

# In the scheduling order, after a certain key, all that fit in a size class: where there are too
# many different ones to look for their heads. Size classes must not overlap.
IN_ORDER = f"""
SELECT {COLUMNS}, p.value, {_SCORED} AS score, d.created_at
  FROM {SIZES} JOIN deployments_deployment d ON {IN_SIZE}
  JOIN deployments_priorityclass p ON p.id = d.priority_class_id
 WHERE {_AFTER} {_ORDER} LIMIT %(most)s
"""

# The same of those that their owner's quota allows. OFFSET 0: owner by owner, not all and joined.
IN_ORDER_WITHIN = f"""
{_WAITING}
SELECT {COLUMNS}, p.value, {_SCORED} AS score, d.created_at
  FROM {SIZES}, allowed unused, LATERAL (
        SELECT d.* FROM deployments_deployment d WHERE {_OF_ALLOWED} AND {FITS} OFFSET 0) d
  JOIN deployments_priorityclass p ON p.id = d.priority_class_id
 WHERE unused.priority_class = size.priority_class AND {_AFTER} {_ORDER} LIMIT %(most)s
"""

# Of the heads within quotas, the first few in the scheduling order.
FIRST_HEADS_WITHIN = f"""
{_HOPS}
SELECT {COLUMNS}
  FROM hop JOIN deployments_deployment d ON d.id = hop.id
  JOIN deployments_priorityclass p ON p.id = d.priority_class_id
  LEFT JOIN {_OWN} ON own.owner = d.owner_id, {_UNUSED}
 WHERE {_FITS} AND {_WITHIN} {_ORDER} LIMIT %(first)s
"""

# These go from row to row through `deployment_ready`, in its order. PostgreSQL must not sort for
# each step instead, as it would where it expects few rows: of a table, or a cluster, that has grown
# since it was last analyzed. A cursor keeps the plan that was made while sorting was off.
STEP_BY_STEP = frozenset({HEADS, HEADS_WITHIN, MEMBERS, BEST})
WITHOUT_SORTING = """
SET LOCAL enable_sort = off;
DECLARE {name} NO SCROLL CURSOR FOR {statement};
SET LOCAL enable_sort = on;
FETCH ALL FROM {name}
"""
