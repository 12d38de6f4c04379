"""What members may read of why an endpoint does not answer.

A tenant can attach any address in a private network. Whether it refuses connections, leaves them
open, speaks another protocol or has another certificate tells of machines that only the platform
reaches, and so would how soon that is known. Of a tenant's endpoint members therefore read one
sentence from the moment that it is attached until it answers as a runtime does, and one whenever it
does not any more. Operators read the cause in the admin.
"""

from mlops_platform.sealing import UNSEALABLE

NOT_YET = (
    "It has not answered as it should yet. Check that the platform reaches its address, and its "
    "certificates and credentials from a machine of your own."
)
NO_ANSWER = "It does not answer as it should."
ALREADY_ATTACHED = (
    "This engine is attached already, as {}. "
    "A machine that was cloned needs an engine ID of its own."
)
_OF_THE_PLATFORM = (ALREADY_ATTACHED.partition("{")[0], UNSEALABLE)


def shown_error(error: str, *, trusted: bool, seen: bool) -> str:
    """The text for members; empty where there is no error."""
    if trusted or error.startswith(_OF_THE_PLATFORM):
        return error
    if not seen:
        return NOT_YET
    return error and NO_ANSWER
