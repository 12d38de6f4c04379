"""Every call of the API, one line each, as methods of what it is about.

A test compares these lines with the API's document, so no call is missing and none is made up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mlops import following
from mlops.calls import Call, Described, Pages, Resource, name_of
from mlops.models import accounting, answers, clusters, deployments, organizations, sweeps, webhooks
from mlops.records import RecordList

Nothing = type(None)


class Lines(Described):
    """Output, line by line: `client.deployments.logs(id, follow=True, tail=100)`."""

    def __init__(self, path: str) -> None:
        super().__init__("GET", path)

    def __get__(
        self, resource: Resource | None, owner: type[Resource]
    ) -> Callable[..., Iterator[str]]:
        def lines(deployment: Any, follow: bool = False, **selection: Any) -> Iterator[str]:
            assert resource is not None
            found = name_of(deployment)
            return following.lines(resource._client, found, follow, **selection)

        return lines


class Users(Resource):
    """Your account."""

    register = Call("POST", "/users/register", organizations.Registered)
    login = Call("POST", "/users/login", organizations.TokenPair, repeatable=True)
    refresh = Call("POST", "/users/refresh", organizations.TokenPair, repeatable=True)
    logout = Call("POST", "/users/logout", Nothing, repeatable=True)
    me = Call("GET", "/users/me", organizations.Me)
    change = Call("PATCH", "/users/me", organizations.Me, repeatable=True)
    change_password = Call("POST", "/users/me/password", organizations.TokenPair)
    verify_email = Call("POST", "/auth/email/verify", Nothing)
    confirm_email = Call("POST", "/auth/email/verify/confirm", Nothing)
    reset_password = Call("POST", "/auth/password/reset", Nothing)
    confirm_reset = Call("POST", "/auth/password/reset/confirm", Nothing)
    begin_device = Call("POST", "/auth/device", organizations.Device)
    device_tokens = Call("POST", "/auth/device/token", organizations.TokenPair)


class Keys(Resource):
    """Your own API keys."""

    list = Pages("/users/me/keys", organizations.ApiKey)
    get = Call("GET", "/users/me/keys/{key}", organizations.ApiKey)
    create = Call("POST", "/users/me/keys", organizations.IssuedApiKey)
    delete = Call("DELETE", "/users/me/keys/{key}", Nothing)


class Secrets(Resource):
    """Your own secrets."""

    list = Pages("/users/me/secrets", organizations.Secret)
    get = Call("GET", "/users/me/secrets/{secret}", organizations.Secret)
    put = Call("PUT", "/users/me/secrets/{secret}", organizations.Secret)
    delete = Call("DELETE", "/users/me/secrets/{secret}", Nothing)
    uses = Call("GET", "/users/me/secrets/{secret}/uses", RecordList)


class Organizations(Resource):
    """Organizations, by id or name."""

    list = Pages("/orgs/my", organizations.OwnOrganization)
    all = Pages("/orgs/all", organizations.Organization)
    create = Call("POST", "/orgs/create", organizations.CreatedOrganization)
    join = Call("POST", "/orgs/join", organizations.Joined)
    get = Call("GET", "/orgs/{organization}", organizations.OwnOrganization)
    change = Call("PATCH", "/orgs/{organization}", organizations.OwnOrganization, repeatable=True)
    delete = Call("DELETE", "/orgs/{organization}", Nothing)
    leave = Call("POST", "/orgs/{organization}/leave", Nothing)
    new_code = Call("POST", "/orgs/{organization}/invite-codes", organizations.Code)
    events = Pages("/orgs/{organization}/events", deployments.FeedEvent)
    rules = Call("GET", "/orgs/{organization}/rules", organizations.HouseRules)
    change_rules = Call(
        "PATCH", "/orgs/{organization}/rules", organizations.HouseRules, repeatable=True
    )
    usage = Call("GET", "/orgs/{organization}/usage", accounting.Usage)
    prices = Call("GET", "/orgs/{organization}/prices", accounting.Prices)
    put_prices = Call("PUT", "/orgs/{organization}/prices", accounting.Prices)
    delete_prices = Call("DELETE", "/orgs/{organization}/prices", Nothing)

    def follow_events(self, organization: Any, **filters: Any) -> Iterator[deployments.FeedEvent]:
        """Events as they happen, without an end; a lost connection is made again and nothing is
        missed. `since` is a cursor or `now`; `type`, `cluster`, `actor`, `deployment_id` choose."""
        path = type(self).events.filled((organization,))
        for each in following.events(self._client, path, **filters):
            yield deployments.FeedEvent(each, self._client)


class Members(Resource):
    """Members of an organization, by username or id."""

    list = Pages("/orgs/{organization}/members", organizations.Member)
    change = Call(
        "PATCH", "/orgs/{organization}/members/{user}", organizations.Member, repeatable=True
    )
    remove = Call("DELETE", "/orgs/{organization}/members/{user}", Nothing)
    bans = Pages("/orgs/{organization}/bans", organizations.Ban)
    lift_ban = Call("DELETE", "/orgs/{organization}/bans/{user}", Nothing)


class Invitations(Resource):
    """Links that let users join an organization."""

    list = Pages("/orgs/{organization}/invitations", organizations.Invitation)
    get = Call("GET", "/orgs/{organization}/invitations/{invitation}", organizations.Invitation)
    create = Call("POST", "/orgs/{organization}/invitations", organizations.IssuedInvitation)
    revoke = Call("DELETE", "/orgs/{organization}/invitations/{invitation}", Nothing)


class Webhooks(Resource):
    """Webhooks of an organization, and what they were sent."""

    list = Pages("/orgs/{organization}/webhooks", webhooks.Webhook)
    get = Call("GET", "/orgs/{organization}/webhooks/{webhook}", webhooks.Webhook)
    create = Call("POST", "/orgs/{organization}/webhooks", webhooks.AddedWebhook)
    change = Call(
        "PATCH", "/orgs/{organization}/webhooks/{webhook}", webhooks.Webhook, repeatable=True
    )
    delete = Call("DELETE", "/orgs/{organization}/webhooks/{webhook}", Nothing)
    test = Call("POST", "/orgs/{organization}/webhooks/{webhook}/test", webhooks.WebhookDelivery)
    deliveries = Pages(
        "/orgs/{organization}/webhooks/{webhook}/deliveries", webhooks.WebhookDelivery
    )
    delivery = Call(
        "GET",
        "/orgs/{organization}/webhooks/{webhook}/deliveries/{delivery}",
        webhooks.WebhookDelivery,
    )
    resend = Call(
        "POST",
        "/orgs/{organization}/webhooks/{webhook}/deliveries/{delivery}/resend",
        webhooks.WebhookDelivery,
    )


class OrganizationKeys(Resource):
    """API keys of an organization."""

    list = Pages("/orgs/{organization}/keys", organizations.OrganizationKey)
    get = Call("GET", "/orgs/{organization}/keys/{key}", organizations.OrganizationKey)
    create = Call("POST", "/orgs/{organization}/keys", organizations.IssuedOrganizationKey)
    delete = Call("DELETE", "/orgs/{organization}/keys/{key}", Nothing)


class OrganizationSecrets(Resource):
    """Secrets of an organization."""

    list = Pages("/orgs/{organization}/secrets", organizations.Secret)
    get = Call("GET", "/orgs/{organization}/secrets/{secret}", organizations.Secret)
    put = Call("PUT", "/orgs/{organization}/secrets/{secret}", organizations.Secret)
    delete = Call("DELETE", "/orgs/{organization}/secrets/{secret}", Nothing)
    uses = Call("GET", "/orgs/{organization}/secrets/{secret}/uses", RecordList)


class Clusters(Resource):
    """Clusters, by id or name."""

    list = Pages("/clusters", clusters.Cluster)
    create = Call("POST", "/clusters", clusters.Cluster)
    get = Call("GET", "/clusters/{cluster}", clusters.Cluster)
    change = Call("PATCH", "/clusters/{cluster}", clusters.Cluster, repeatable=True)
    delete = Call("DELETE", "/clusters/{cluster}", clusters.Cluster)
    status = Call("GET", "/clusters/{cluster}/status", clusters.ClusterStatus)
    utilization = Call("GET", "/clusters/{cluster}/utilization", clusters.Utilization)
    queue = Pages("/clusters/{cluster}/queue", clusters.Waiting)
    deployments = Pages("/clusters/{cluster}/deployments", deployments.Deployment)
    counts = Call("GET", "/clusters/{cluster}/deployments/counts", answers.Counts)
    cycles = Pages("/clusters/{cluster}/cycles", clusters.Cycle)
    cycle = Call("GET", "/cycles/{cycle}", clusters.CycleWithPlan)


class Nodes(Resource):
    """Nodes of a cluster, by id or name."""

    list = Pages("/clusters/{cluster}/nodes", clusters.Node)
    create = Call("POST", "/clusters/{cluster}/nodes", clusters.Node)
    get = Call("GET", "/clusters/{cluster}/nodes/{node}", clusters.Node)
    change = Call(
        "PATCH",
        "/clusters/{cluster}/nodes/{node}",
        clusters.Node,
        repeatable=True,
        query=("drain",),
    )
    delete = Call("DELETE", "/clusters/{cluster}/nodes/{node}", clusters.Node)
    cordon = Call("POST", "/clusters/{cluster}/nodes/{node}/cordon", clusters.Node, repeatable=True)
    drain = Call(
        "POST", "/clusters/{cluster}/nodes/{node}/drain", clusters.DrainedNode, repeatable=True
    )
    uncordon = Call(
        "POST", "/clusters/{cluster}/nodes/{node}/uncordon", clusters.Node, repeatable=True
    )


class Windows(Resource):
    """Maintenance windows of a cluster, by id."""

    list = Pages("/clusters/{cluster}/windows", clusters.Window)
    get = Call("GET", "/clusters/{cluster}/windows/{window}", clusters.Window)
    create = Call("POST", "/clusters/{cluster}/windows", clusters.PlannedWindow)
    change = Call("PATCH", "/clusters/{cluster}/windows/{window}", clusters.Window, repeatable=True)
    delete = Call("DELETE", "/clusters/{cluster}/windows/{window}", Nothing)


class Quotas(Resource):
    """Quotas of a cluster's users, by username or id; `default` is the default one."""

    list = Pages("/clusters/{cluster}/quotas", clusters.Quota)
    get = Call("GET", "/clusters/{cluster}/quotas/{user}", clusters.Quota)
    put = Call("PUT", "/clusters/{cluster}/quotas/{user}", clusters.Quota)
    delete = Call("DELETE", "/clusters/{cluster}/quotas/{user}", Nothing)
    get_default = Call("GET", "/clusters/{cluster}/quotas/default", clusters.Quota)
    put_default = Call("PUT", "/clusters/{cluster}/quotas/default", clusters.Quota)
    delete_default = Call("DELETE", "/clusters/{cluster}/quotas/default", Nothing)


class Registries(Resource):
    """Where a cluster pulls images from."""

    list = Pages("/clusters/{cluster}/registries", clusters.Registry)
    create = Call("POST", "/clusters/{cluster}/registries", clusters.Registry)
    delete = Call("DELETE", "/clusters/{cluster}/registries/{registry}", Nothing)


class Volumes(Resource):
    """Volumes of a cluster, by id or name."""

    list = Pages("/clusters/{cluster}/volumes", clusters.Volume)
    create = Call("POST", "/clusters/{cluster}/volumes", clusters.Volume)
    get = Call("GET", "/clusters/{cluster}/volumes/{volume}", clusters.Volume)
    change = Call("PATCH", "/clusters/{cluster}/volumes/{volume}", clusters.Volume, repeatable=True)
    delete = Call("DELETE", "/clusters/{cluster}/volumes/{volume}", Nothing)


class Deployments(Resource):
    """Deployments, by id."""

    list = Pages("/deployments", deployments.Deployment)
    submit = Call("POST", "/deployments", deployments.Deployment, keyed=True)
    submit_many = Call("POST", "/deployments/bulk", RecordList, keyed=True)
    quote = Call("POST", "/deployments/quote", answers.Quote, repeatable=True)
    counts = Call("GET", "/deployments/counts", answers.Counts)
    act = Call("POST", "/deployments/actions", answers.ActionAnswer, keyed=True)
    get = Call("GET", "/deployments/{deployment}", deployments.Deployment)
    change = Call("PATCH", "/deployments/{deployment}", deployments.Deployment, repeatable=True)
    delete = Call("DELETE", "/deployments/{deployment}", Nothing)
    stop = Call("POST", "/deployments/{deployment}/stop", deployments.Deployment, repeatable=True)
    stop_of_cluster = Call(
        "POST", "/deployments/{deployment}", deployments.Deployment, repeatable=True
    )
    rerun = Call("POST", "/deployments/{deployment}/rerun", deployments.Deployment, keyed=True)
    checkpoint = Call("POST", "/deployments/{deployment}/checkpoint", deployments.Deployment)
    explain = Call("GET", "/deployments/{deployment}/explain", answers.Explanation)
    events = Pages("/deployments/{deployment}/events", deployments.Event)
    peers = Call("GET", "/deployments/{deployment}/peers", deployments.Peers)
    logs = Lines("/deployments/{deployment}/logs")


class Sweeps(Resource):
    """Sweeps, by id."""

    list = Pages("/sweeps", sweeps.Sweep)
    submit = Call("POST", "/sweeps", sweeps.Sweep, keyed=True)
    get = Call("GET", "/sweeps/{sweep}", sweeps.Sweep)
    change = Call("PATCH", "/sweeps/{sweep}", sweeps.Sweep, repeatable=True)
    delete = Call("DELETE", "/sweeps/{sweep}", Nothing)
    stop = Call("POST", "/sweeps/{sweep}/stop", sweeps.StoppedSweep, repeatable=True)
    retry_failed = Call(
        "POST", "/sweeps/{sweep}/retry-failed", sweeps.RetriedSweep, repeatable=True
    )


RESOURCES: dict[str, type[Resource]] = {
    "users": Users,
    "keys": Keys,
    "secrets": Secrets,
    "organizations": Organizations,
    "members": Members,
    "invitations": Invitations,
    "webhooks": Webhooks,
    "organization_keys": OrganizationKeys,
    "organization_secrets": OrganizationSecrets,
    "clusters": Clusters,
    "nodes": Nodes,
    "windows": Windows,
    "quotas": Quotas,
    "registries": Registries,
    "volumes": Volumes,
    "deployments": Deployments,
    "sweeps": Sweeps,
}
"""Each is an attribute of the client under this name."""
