"""The operators' pages of quotas."""

from functools import partial

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from clusters.models import Cluster, Quota, State
from clusters.services.quotas import put_quota
from clusters.tests.allocation import make_cluster, row
from deployments.tests.workloads import make
from organizations.models import Role
from organizations.tests.people import PASSWORD, all_at_once, make_member, make_user

LIST = "/admin/clusters/quota/"
ADD = "/admin/clusters/quota/add/"
LIMITS = {"max_cpu_milli": "2.5", "max_ram_mib": "", "max_gpu": "0"}


@pytest.fixture
def operator(client, db):
    client.force_login(User.objects.create_superuser("root", password=PASSWORD))
    return client


@pytest.fixture
def kept(cluster, dev, woken):
    quota, _ = put_quota(cluster, dev.pk, {"max_gpu": 3})
    woken.clear()
    return quota


def page(quota, what="change"):
    return reverse(f"admin:clusters_quota_{what}", args=[quota.pk])


def of(cluster, user=None, **changes):
    """The values of the form for a new quota."""
    return {"cluster": cluster.pk, "user": user.pk if user else "", **LIMITS, **changes}


def limits(quota):
    quota.refresh_from_db()
    return quota.max_cpu_milli, quota.max_ram_mib, quota.max_gpu


def messages_of(answer):
    return [str(message) for message in answer.context["messages"]]


def test_a_quota_is_added_for_a_user_and_a_default(operator, dev, cluster, woken):
    deployment = make(cluster, dev)
    for user in (dev, None):
        assert operator.post(ADD, of(cluster, user)).status_code == 302
        assert limits(Quota.objects.get(user=user)) == (2500, None, 0)
    assert woken == [cluster.pk] * 2
    assert row(cluster)["has_quotas"]
    assert row(deployment)["scheduling_key"].endswith(dev.pk.hex)
    text = operator.get(LIST).content.decode()
    for said in ("dev", "all others", "2.5", "no limit", "Analytical Engines / west"):
        assert said in text


def test_a_quota_is_changed_as_a_whole(operator, cluster, kept, woken):
    text = operator.get(page(kept)).content.decode()
    assert 'name="max_gpu" value="3"' in text
    assert 'name="user"' not in text
    body = {**LIMITS, "user": "", "cluster": ""}
    assert operator.post(page(kept), body).status_code == 302
    assert limits(kept) == (2500, None, 0)
    assert kept.user.username == "dev"
    assert woken == [cluster.pk]
    assert operator.post(page(kept), body).status_code == 302
    assert woken == [cluster.pk]


def test_one_is_deleted(operator, cluster, kept, woken):
    assert operator.get(page(kept, "delete")).status_code == 200
    assert operator.post(page(kept, "delete"), {"post": "yes"}).status_code == 302
    assert not Quota.objects.exists()
    assert not row(cluster)["has_quotas"]
    assert woken == [cluster.pk]


def test_several_are_never_deleted_at_once(operator, kept):
    body = {"action": "delete_selected", "_selected_action": [kept.pk], "post": "yes"}
    operator.post(LIST, body)
    assert Quota.objects.exists()


@pytest.mark.parametrize(
    "fault",
    [
        {"max_cpu_milli": "-1"},
        {"max_cpu_milli": "0.0001"},
        {"max_cpu_milli": "NaN"},
        {"max_cpu_milli": "1e30"},
        {"max_ram_mib": "-1"},
        {"max_ram_mib": "1.5"},
        {"max_gpu": "99999999999999999999"},
        {"max_gpu": "many"},
        {"user": "no-id"},
        {"user": "0199d1c5-3f10-7e42-8a6b-9c0d51e27f34"},
        {"cluster": ""},
        {"cluster": "no-id"},
    ],
)
def test_an_invalid_value_is_a_form_error(operator, dev, cluster, woken, fault):
    answer = operator.post(ADD, of(cluster, dev) | fault)
    assert answer.status_code == 200
    assert "errornote" in answer.content.decode()
    assert not Quota.objects.exists()
    assert woken == []


def test_a_refusal_of_the_service_is_a_form_error(operator, dev, sam, cluster, kept, woken):
    nothing = dict.fromkeys(LIMITS, "")
    for body, said in (
        (of(cluster, sam), "No member of Analytical Engines."),
        (of(cluster, dev), "There is one already: change that."),
        (of(cluster, **nothing), "A default needs a limit of at least one resource."),
    ):
        answer = operator.post(ADD, body)
        assert answer.status_code == 200
        assert said in answer.content.decode()
    put_quota(cluster, None, {"max_gpu": 1})
    woken.clear()
    answer = operator.post(ADD, of(cluster))
    assert "There is one already: change that." in answer.content.decode()
    assert Quota.objects.count() == 2
    assert woken == []


def test_the_quota_of_a_former_member_can_only_be_deleted(operator, dev, kept):
    dev.memberships.all().delete()
    answer = operator.post(page(kept), LIMITS)
    assert answer.status_code == 200
    assert "errornote" in answer.content.decode()
    assert limits(kept) == (None, None, 3)
    assert operator.post(page(kept, "delete"), {"post": "yes"}).status_code == 302
    assert not Quota.objects.exists()


def test_a_cluster_that_is_being_deleted_takes_no_change(operator, cluster, vera, kept, woken):
    Cluster.objects.update(state=State.DELETING)
    for answer in (operator.post(ADD, of(cluster, vera)), operator.post(page(kept), LIMITS)):
        assert answer.status_code == 200
        assert "The cluster is being deleted" in answer.content.decode()
    answer = operator.post(page(kept, "delete"), {"post": "yes"}, follow=True)
    (said,) = messages_of(answer)
    assert said.startswith("The cluster is being deleted")
    assert limits(kept) == (None, None, 3)
    assert Quota.objects.count() == 1
    assert woken == []


def test_users_are_looked_up_and_not_listed(operator, org, cluster, kept):
    make_user("somebody-else")
    for path in (ADD, page(kept), LIST):
        assert "somebody-else" not in operator.get(path).content.decode()
    assert "admin-autocomplete" in operator.get(ADD).content.decode()


@pytest.mark.parametrize("size", [1, 25])
def test_the_list_costs_the_same_for_few_and_many(
    operator, org, cluster, size, django_assert_num_queries
):
    for number in range(size):
        member = make_member(org, f"m{number}", Role.VIEWER)
        put_quota(cluster, member.pk, {"max_gpu": 1})
    # session, operator, count, rows with their users and clusters
    with django_assert_num_queries(4):
        answer = operator.get(LIST)
    assert len(answer.context["cl"].result_list) == size


def test_the_page_of_a_cluster_links_to_its_quotas(operator, org, cluster, vera):
    put_quota(make_cluster(org, name="east"), vera.pk, {"max_gpu": 7})
    link = f"{LIST}?cluster__id__exact={cluster.pk}"
    path = reverse("admin:clusters_cluster_change", args=[cluster.pk])
    assert f'<a href="{link}">none yet</a>' in operator.get(path).content.decode()
    put_quota(cluster, vera.pk, {"max_gpu": 1})
    assert f'<a href="{link}">Its quotas</a>' in operator.get(path).content.decode()
    assert len(operator.get(link).context["cl"].result_list) == 1


def test_a_user_is_deleted_with_their_quotas(operator, org, cluster):
    mia = make_member(org, "mia", Role.VIEWER)
    put_quota(cluster, mia.pk, {"max_gpu": 1})
    path = reverse("admin:accounts_user_delete", args=[mia.pk])
    assert operator.post(path, {"post": "yes"}).status_code == 302
    assert not User.objects.filter(pk=mia.pk).exists()
    assert not row(cluster)["has_quotas"]


def test_two_quotas_of_one_user_added_at_once_end_in_one(transactional_db, dev, cluster):
    root = User.objects.create_superuser("root", password=PASSWORD)
    clients = [Client(), Client()]
    for client in clients:
        client.force_login(root)
    answers = all_at_once(*(partial(each.post, ADD, of(cluster, dev)) for each in clients))
    assert {answer.status_code for answer in answers} <= {200, 302}
    assert limits(Quota.objects.get()) == (2500, None, 0)
