"""The operators' pages of clusters."""

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from clusters.admin.forms import POLICY
from clusters.models import Cluster, State
from clusters.signals import cluster_changed
from clusters.tests.allocation import make_cluster, make_node
from mlops_platform.admin import markup
from mlops_platform.admin.pages import MOST_COUNTED, AtLeast, BoundedPaginator
from organizations.tests.people import PASSWORD

LIST = "/admin/clusters/cluster/"


@pytest.fixture
def operator(client, db):
    client.force_login(User.objects.create_superuser("root", password=PASSWORD))
    return client


@pytest.fixture
def woken():
    heard = []

    def hear(cluster_id, **_):
        heard.append(cluster_id)

    cluster_changed.connect(hear)
    yield heard
    cluster_changed.disconnect(hear)


def page(cluster):
    return reverse("admin:clusters_cluster_change", args=[cluster.pk])


def form_of(cluster, **changes):
    """The form's values with these changes, as a browser sends them."""
    given = {
        "name": cluster.name,
        "total_cpu_milli": str(cluster.total_cpu_milli / 1000),
        "total_ram_mib": str(cluster.total_ram_mib),
        "total_gpu": str(cluster.total_gpu),
        **{name: getattr(cluster, name) for name in [*POLICY, "node_lost_after_s"]},
    }
    given = {name: "" if value is None else str(value) for name, value in given.items()}
    shown = {f"initial-{name}": value for name, value in given.items()}
    return shown | given | changes


def act(operator, action, *clusters, **more):
    body = {"action": action, "index": "0", "_selected_action": [each.pk for each in clusters]}
    return operator.post(LIST, body | more, follow=True)


def messages_of(answer):
    return [str(message) for message in answer.context["messages"]]


@pytest.mark.parametrize(
    ("used", "total", "text"),
    [
        (6, 8, "6 / 8 GPUs, 75 %"),
        (0, 8, "0 / 8 GPUs, 0 %"),
        (8, 8, "8 / 8 GPUs, 100 %"),
        (1, 1000, "1 / 1000 GPUs, 1 %"),
        (999, 1000, "999 / 1000 GPUs, 99 %"),
        (1, 1, "1 / 1 GPU, 100 %"),
        (0, 0, "no GPUs"),
    ],
)
def test_a_bar_has_its_amounts_as_text(used, total, text):
    assert text in markup.gpu_usage(used, total)


def test_amounts_come_in_the_units_of_people():
    assert "2.5 / 64 cores, 3 %" in markup.cpu_usage(2500, 64_000)
    assert "0.5 / 16 GiB, 3 %" in markup.ram_usage(512, 16_384)
    assert "256 / 512 MiB, 50 %" in markup.ram_usage(256, 512)
    assert markup.request(1000, 1536, 0) == "1 core, 1536 MiB"
    assert markup.request(2500, 16_384, 1, 2) == "2 replicas of 2.5 cores, 16 GiB, 1 GPU"


def test_the_list_shows_state_and_use(operator, cluster):
    Cluster.objects.update(allocated_gpu=3, state=State.PAUSED, evaluated_at=timezone.now())
    text = operator.get(LIST).content.decode()
    assert "3 / 4 GPUs, 75 %" in text
    assert "0 / 8 cores, 0 %" in text
    assert "PAUSED" in text
    assert "just now" in text
    assert "Analytical Engines" in text


def test_the_list_filters_by_organization(operator, cluster, sams_org):
    make_cluster(sams_org, name="sams-own")
    found = operator.get(LIST, {"organization__id__exact": sams_org.pk}).content.decode()
    assert "sams-own" in found
    assert page(cluster) not in found
    assert operator.get(LIST, {"organization__id__exact": ""}).status_code == 200
    assert operator.get(LIST, {"organization__id__exact": "no-id"}).status_code == 302


def test_names_are_escaped(operator, cluster):
    Cluster.objects.update(name="<script>alert(1)</script>")
    for path in (LIST, page(cluster)):
        assert "<script>alert(1)" not in operator.get(path).content.decode()


def test_a_change_goes_through_the_service(operator, cluster, woken):
    body = form_of(cluster, total_cpu_milli="2.5", total_gpu="6", ordering="fifo")
    assert operator.post(page(cluster), body).status_code == 302
    before = cluster.changed_at
    cluster.refresh_from_db()
    assert (cluster.total_cpu_milli, cluster.total_gpu, cluster.ordering) == (2500, 6, "fifo")
    assert cluster.changed_at > before
    assert woken == [cluster.pk]


def test_saving_an_unchanged_form_changes_nothing(operator, cluster, woken):
    assert operator.post(page(cluster), form_of(cluster)).status_code == 302
    assert woken == []


def test_only_what_the_operator_changed_is_written(operator, cluster, woken):
    body = form_of(cluster, name="east")
    Cluster.objects.update(total_gpu=9, total_cpu_milli=500)  # another user's change meanwhile
    assert operator.post(page(cluster), body).status_code == 302
    cluster.refresh_from_db()
    assert (cluster.name, cluster.total_gpu, cluster.total_cpu_milli) == ("east", 9, 500)
    assert woken == []


def test_a_total_below_what_is_allocated_is_a_form_error(operator, cluster, woken):
    Cluster.objects.update(allocated_gpu=3)
    answer = operator.post(page(cluster), form_of(cluster, total_gpu="2", name="east"))
    assert answer.status_code == 200
    text = answer.content.decode()
    assert "GPUs: 3 allocated, so the total cannot be 2." in text
    assert 'value="east"' in text
    assert "3 / 4 GPUs" in text
    cluster.refresh_from_db()
    assert (cluster.name, cluster.total_gpu) == ("west", 4)
    assert woken == []


def test_a_taken_name_is_a_form_error(operator, cluster, org):
    make_cluster(org, name="east")
    answer = operator.post(page(cluster), form_of(cluster, name="east"))
    assert "The organization has a cluster named &#x27;east&#x27; already." in (
        answer.content.decode()
    )
    cluster.refresh_from_db()
    assert cluster.name == "west"


@pytest.mark.parametrize(
    "fault",
    [
        {"total_cpu_milli": "0"},
        {"total_cpu_milli": "0.0001"},
        {"total_cpu_milli": "NaN"},
        {"total_cpu_milli": "1e30"},
        {"total_ram_mib": "0"},
        {"total_gpu": "-1"},
        {"total_gpu": "99999999999999999999"},
        {"max_preemptions": ""},
        {"preempt_exempt_s": "-1"},
        {"reserve_after_s": "99999999999"},
        {"name": " "},
        {"queueing": "by-beauty"},
    ],
)
def test_an_invalid_value_is_a_form_error(operator, cluster, woken, fault):
    answer = operator.post(page(cluster), form_of(cluster, **fault))
    assert answer.status_code == 200
    assert "errornote" in answer.content.decode()
    assert woken == []


def test_the_counters_cannot_be_written(operator, cluster):
    operator.post(page(cluster), form_of(cluster, allocated_gpu="4", state="PAUSED"))
    cluster.refresh_from_db()
    assert (cluster.allocated_gpu, cluster.state) == (0, State.ACTIVE)


def test_a_cluster_is_added(operator, org):
    path = reverse("admin:clusters_cluster_add")
    fresh = Cluster(name="new", total_cpu_milli=4000, total_ram_mib=1024, total_gpu=0)
    body = form_of(fresh, organization=str(org.pk), runtime="simulated")
    assert 'value="3600"' in operator.get(path).content.decode()
    assert operator.post(path, body).status_code == 302
    made = Cluster.objects.get()
    assert (made.organization, made.total_cpu_milli, made.state) == (org, 4000, State.ACTIVE)

    again = operator.post(path, body)
    assert again.status_code == 200
    assert "errornote" in again.content.decode()
    assert Cluster.objects.count() == 1


@pytest.mark.parametrize("made_up", ["no-id", "0199d1c5-3f10-7e42-8a6b-9c0d51e27f34", "\x00"])
def test_a_made_up_organization_is_a_form_error(operator, made_up):
    path = reverse("admin:clusters_cluster_add")
    fresh = Cluster(name="new", total_cpu_milli=4000, total_ram_mib=1024, total_gpu=0)
    answer = operator.post(path, form_of(fresh, organization=made_up, runtime="simulated"))
    assert answer.status_code == 200
    assert "errornote" in answer.content.decode()
    assert operator.get(path, {"organization": made_up}).status_code == 200
    assert not Cluster.objects.exists()


def test_pause_and_resume_report_what_they_did(operator, cluster, org, woken):
    paused = make_cluster(org, name="idle", state=State.PAUSED)
    answer = act(operator, "pause", cluster, paused)
    assert "by root at " in operator.get(page(cluster)).content.decode()
    assert messages_of(answer) == [
        "Paused 1 cluster.",
        "Left as they were: idle is PAUSED already",
    ]
    assert woken == [cluster.pk]
    answer = act(operator, "resume", cluster, paused)
    assert messages_of(answer) == ["Resumed 2 clusters."]
    assert set(Cluster.objects.values_list("state", flat=True)) == {State.ACTIVE}
    assert (
        "Paused."
        in operator.get(
            reverse("admin:clusters_cluster_history", args=[cluster.pk])
        ).content.decode()
    )


def test_an_action_started_on_a_page_comes_back_to_it(operator, cluster):
    text = operator.get(page(cluster)).content.decode()
    assert 'value="pause"' in text
    assert 'value="resume"' not in text
    answer = act(operator, "pause", cluster, _from_page="1")
    assert answer.redirect_chain[-1][0] == page(cluster)
    assert 'value="resume"' in answer.content.decode()


def test_the_page_of_a_cluster_counts_its_nodes_and_links_to_them(operator, cluster):
    for path in (LIST, page(cluster)):
        assert "one pool" in operator.get(path).content.decode()
    make_node(cluster)
    link = f'<a href="/admin/clusters/node/?cluster__id__exact={cluster.pk}">1 node</a>'
    for path in (LIST, page(cluster)):
        assert link in operator.get(path).content.decode()


def test_totals_that_are_the_sum_of_nodes_are_no_fields(operator, cluster, woken):
    assert 'name="total_gpu"' in operator.get(page(cluster)).content.decode()
    make_node(cluster)
    woken.clear()
    assert 'name="total_gpu"' not in operator.get(page(cluster)).content.decode()
    body = form_of(cluster, total_gpu="9", ordering="fifo")
    assert operator.post(page(cluster), body).status_code == 302
    cluster.refresh_from_db()
    assert (cluster.total_gpu, cluster.ordering) == (2, "fifo")
    assert woken == [cluster.pk]


def test_a_user_with_the_view_permission_changes_nothing(client, cluster, vera):
    from django.contrib.auth.models import Permission

    vera.is_staff = True
    vera.save()
    vera.user_permissions.add(Permission.objects.get(codename="view_cluster"))
    client.force_login(vera)
    text = client.get(page(cluster)).content.decode()
    assert 'value="pause"' not in text
    assert client.post(page(cluster), form_of(cluster, total_gpu="1")).status_code == 403
    act(client, "pause", cluster)
    cluster.refresh_from_db()
    assert (cluster.state, cluster.total_gpu) == (State.ACTIVE, 4)


def test_a_long_list_is_counted_to_a_bound(cluster):
    assert str(AtLeast(MOST_COUNTED)) == "10000+"
    for number in range(4):
        make_cluster(cluster.organization, name=f"more-{number}")
    assert BoundedPaginator.most == MOST_COUNTED
    paginator = BoundedPaginator(Cluster.objects.order_by("pk"), 2)
    paginator.most = 3
    assert str(paginator.count) == "3+"
    assert paginator.num_pages == 2
    paginator = BoundedPaginator(Cluster.objects.order_by("pk"), 2)
    paginator.most = 5
    assert str(paginator.count) == "5"


def test_an_operator_limits_the_queue_of_a_cluster(operator, cluster, woken):
    answer = operator.post(page(cluster), form_of(cluster, max_queued="50", max_queued_per_user=""))
    assert answer.status_code == 302, answer.context["errors"]
    cluster.refresh_from_db()
    assert (cluster.max_queued, cluster.max_queued_per_user) == (50, None)
    assert woken == []  # the scheduler does not read it
    refused = operator.post(page(cluster), form_of(cluster, max_queued="0"))
    assert "max_queued" in refused.context["adminform"].form.errors
