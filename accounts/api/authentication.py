"""Reads the access token from the header of a request."""

from rest_framework_simplejwt.authentication import AUTH_HEADER_TYPES, JWTAuthentication

SCHEMES = {scheme.lower().encode() for scheme in AUTH_HEADER_TYPES}


class BearerAuthentication(JWTAuthentication):
    """simplejwt's, with the scheme in any letter case (RFC 9110, 11.1).

    Login answers the `token_type` `bearer`, which OAuth clients write before the token as it is.
    """

    def get_raw_token(self, header: bytes) -> bytes | None:
        scheme, *rest = header.split() or [b""]
        if scheme.lower() in SCHEMES:
            header = b" ".join([AUTH_HEADER_TYPES[0].encode(), *rest])
        return super().get_raw_token(header)
