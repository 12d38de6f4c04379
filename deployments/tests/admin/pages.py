"""The operators' pages of deployments, as tests call them."""

from django.urls import reverse

LIST = "/admin/deployments/deployment/"


def page(deployment):
    return reverse("admin:deployments_deployment_change", args=[deployment.pk])


def act(operator, action, *deployments, **more):
    keys = [each.pk for each in deployments]
    body = {"action": action, "index": "0", "_selected_action": keys}
    return operator.post(LIST, body | more, follow=True)


def messages_of(answer):
    return [str(message) for message in answer.context["messages"]]


def names_on(answer):
    return [row.name for row in answer.context["cl"].result_list]
