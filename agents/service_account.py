"""A Google service account: a signed assertion is exchanged for a bearer token (RFC 7523)."""

from base64 import urlsafe_b64encode
from dataclasses import dataclass
from functools import cached_property
from json import dumps, loads
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from agents.provider import Call, Fault, Kind, Reply, Result, Token
from agents.provider_reading import by_status
from agents.provider_settings import Secret
from schemas.errors import Misconfigured

LIFE_S = 3600
"""The longest life that Google grants an assertion or a token."""
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
OK = 200


@dataclass(frozen=True)
class ServiceAccount:
    """A `Credential`. Made with a key that is no RSA private key it raises Misconfigured: it is start-up that fails."""

    provider: str
    email: str
    key: Secret
    key_id: str
    token_url: str
    scope: str

    def __post_init__(self) -> None:
        self._signer  # noqa: B018 read once here, so that a bad key is found at start

    @cached_property
    def _signer(self) -> RSAPrivateKey:
        pem = self.key.reveal().replace("\\n", "\n").encode()  # an environment often carries the file's escapes
        try:
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError):
            key = None
        if not isinstance(key, RSAPrivateKey):
            raise Misconfigured(f"CARILLON_{self.provider.upper()}_KEY must be an RSA private key in PEM")
        return key

    def call(self, now_s: float) -> Call:
        """The token request, signed as of `now_s` (UTC seconds); takes about a millisecond, so not on the loop."""
        issued = int(now_s)
        header = {"alg": "RS256", "typ": "JWT"} | ({"kid": self.key_id} if self.key_id else {})
        claims = {"iss": self.email, "scope": self.scope, "aud": self.token_url, "iat": issued, "exp": issued + LIFE_S}
        signed = b".".join(_encoded(dumps(part).encode()) for part in (header, claims))
        assertion = signed + b"." + _encoded(self._signer.sign(signed, PKCS1v15(), SHA256()))
        form = urlencode({"grant_type": GRANT, "assertion": assertion.decode()})
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        return Call("POST", self.token_url, headers, form.encode(), timeout_s=10.0)

    def read(self, reply: Reply | Fault) -> Token | Result:
        """The token, or why there is none; either way the message itself has not been sent."""
        if isinstance(reply, Reply):
            if reply.status == OK and (token := _token(reply.body)):
                return token
            if by_status(reply.status).kind in (Kind.MISCONFIGURED, Kind.REJECTED_REQUEST):
                return Result(Kind.MISCONFIGURED, self.provider, "token_refused")
        return Result(Kind.UNAVAILABLE, self.provider, "token_unavailable")


def _token(body: bytes) -> Token | None:
    try:
        answer = loads(body)
        value, life_s = answer["access_token"], float(answer["expires_in"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    fit = isinstance(value, str) and value.isascii() and value.isprintable() and " " not in value and value != ""
    return Token(value, min(life_s, LIFE_S)) if fit and life_s > 0 else None


def _encoded(part: bytes) -> bytes:
    return urlsafe_b64encode(part).rstrip(b"=")
