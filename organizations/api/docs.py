"""What Swagger says of the organization calls."""

from drf_yasg import openapi

from mlops_platform.api.errors import FAULTY
from mlops_platform.api.schema import Doc, error, parameter
from organizations.api.serializers import (
    CodeSerializer,
    CreatedOrganizationSerializer,
    JoinedSerializer,
)
from organizations.models import TAKEN
from organizations.services import BANNED as BANNED_DETAIL

LAST_ADMIN = error(
    "The last ADMIN", "last_admin", "An organization needs an ADMIN; appoint another one first."
)
UNUSABLE_CODE = error(
    "A code that cannot be used: unknown, replaced or revoked (invalid_invite_code), expired "
    "(expired_invite_code), used up (used_up_invite_code); or a malformed body",
    "expired_invite_code",
    FAULTY,
    invite_code=["This code has expired; ask for a new one."],
)
ALREADY_A_MEMBER = error(
    "A member already", "already_a_member", "You are a member of this organization already."
)
FULL = error(
    "As many as allowed", "full", "You are an ADMIN of 50 organizations, and may be of no more."
)
BANNED = error("A removed member", "banned", BANNED_DETAIL)
NAME_TAKEN = error("The name of another organization", "name_taken", TAKEN)
FORCE = parameter("force", openapi.TYPE_BOOLEAN, "Also while deployments wait or run.")
IN_USE = error(
    "Deployments wait or run in one of its clusters",
    "cluster_in_use",
    "1 deployment waits or runs in gpu-east: stop them first.",
)

ORGANIZATIONS = {
    "found": Doc(
        "organizations",
        "Create an organization",
        "You become its ADMIN. Each code lets others join in its role.",
        answers={201: CreatedOrganizationSerializer, 409: FULL},
    ),
    "join": Doc(
        "organizations",
        "Join an organization with a code or an invitation",
        answers={
            200: JoinedSerializer,
            400: UNUSABLE_CODE,
            403: BANNED,
            409: ALREADY_A_MEMBER,
        },
    ),
    "invite_codes": Doc(
        "organizations",
        "Replace a role's invite code (ADMIN)",
        "The old code cannot be used from now on; members stay members.",
        answers={201: CodeSerializer},
    ),
    "retrieve": Doc(
        "organizations",
        "One of your organizations, with your role",
        "The invite codes are shown where you are ADMIN; null where one is expired or used up.",
        operation_id="orgs_get",
    ),
    "partial_update": Doc(
        "organizations",
        "Rename an organization (ADMIN)",
        answers={409: NAME_TAKEN},
        operation_id="orgs_change",
    ),
    "destroy": Doc(
        "organizations",
        "Delete an organization (ADMIN)",
        "With its members, clusters and their history. Refused while deployments wait or run in "
        "one of its clusters, unless forced; containers have to be stopped first, also then.",
        parameters=[FORCE],
        answers={204: "Gone", 409: IN_USE},
        operation_id="orgs_delete",
    ),
    "leave": Doc(
        "organizations",
        "Leave an organization",
        "The invite codes that an ADMIN knows are replaced. Your deployments go on.",
        answers={204: "No longer a member", 409: LAST_ADMIN},
    ),
}
ALL_ORGANIZATIONS = {"list": Doc("organizations", "Every organization's id and name")}
OWN_ORGANIZATIONS = {
    "list": Doc(
        "organizations",
        "Your organizations, with your role",
        "The invite codes are shown where you are ADMIN; null where one is expired or used up.",
    )
}
MEMBERS = {
    "list": Doc("organizations", "The members of an organization"),
    "partial_update": Doc(
        "organizations",
        "Change a member's role (ADMIN)",
        "A lower role replaces the invite codes that the member knows.",
        answers={409: LAST_ADMIN},
    ),
    "destroy": Doc(
        "organizations",
        "Remove a member (ADMIN), or leave",
        "A removed member is banned. The invite codes that the member knows are replaced, as those "
        "of an ADMIN who leaves.",
        answers={204: "No longer a member", 409: LAST_ADMIN},
    ),
}
BANS = {
    "list": Doc("organizations", "The removed members (ADMIN)", "No code lets them in."),
    "destroy": Doc(
        "organizations",
        "Lift a ban (ADMIN)",
        "The user may join again with a code.",
        answers={204: "No longer banned"},
    ),
}
