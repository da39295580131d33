"""The assertion against google-auth's own verifier, and the answers of a token endpoint."""

from base64 import urlsafe_b64decode
from json import dumps
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from google.auth import crypt, jwt

from agents.provider import Fault, Kind, Reply, Result, Token
from agents.provider_settings import Secret
from agents.service_account import ServiceAccount
from schemas.errors import Misconfigured

NOW_S = 1_795_000_000.7
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
TOKEN_URL = "https://oauth2.googleapis.com/token"


@pytest.fixture(scope="module")
def key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def pem(key: RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture
def account(pem: str) -> ServiceAccount:
    return ServiceAccount("fcm", "a@p.example", Secret(pem), "key-1", TOKEN_URL, SCOPE)


def test_googles_verifier_accepts_the_assertion(account: ServiceAccount, key: RSAPrivateKey) -> None:
    call = account.call(NOW_S)
    form = parse_qs(call.body.decode(), strict_parsing=True)
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    assertion = form["assertion"][0]
    assert "=" not in assertion
    header = jwt.decode_header(assertion)
    assert header == {"alg": "RS256", "typ": "JWT", "kid": "key-1"}
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed, _, signature = assertion.rpartition(".")
    assert crypt.verify_signature(signed.encode(), urlsafe_b64decode(f"{signature}=="), public)
    claims = {"iss": "a@p.example", "scope": SCOPE, "aud": TOKEN_URL, "iat": 1_795_000_000, "exp": 1_795_003_600}
    assert jwt.decode(assertion, verify=False) == claims
    assert (call.method, call.url) == ("POST", TOKEN_URL)


def test_a_key_with_the_escapes_of_an_environment_is_the_same_key(account: ServiceAccount, pem: str) -> None:
    escaped = ServiceAccount("fcm", "a@p.example", Secret(pem.replace("\n", "\\n")), "key-1", TOKEN_URL, SCOPE)
    assert escaped.call(NOW_S) == account.call(NOW_S)


def test_a_key_that_is_not_an_rsa_key_stops_the_start_and_is_not_shown() -> None:
    other = generate_ec_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    for bad in ("not-a-key", "", other):
        with pytest.raises(Misconfigured, match="CARILLON_FCM_KEY must be an RSA private key") as raised:
            ServiceAccount("fcm", "a@p.example", Secret(bad), "", TOKEN_URL, SCOPE)
        assert "not-a-key" not in repr(raised.getrepr(style="short"))


@pytest.mark.parametrize(("life", "held_s"), [(3599, 3599.0), ("3599", 3599.0), (7200, 3600.0), (float("inf"), 3600.0)])
def test_a_token_lives_as_long_as_the_endpoint_says_and_no_longer_than_an_hour(
    account: ServiceAccount, life: object, held_s: float
) -> None:
    answer = dumps({"access_token": "ya29.a", "expires_in": life, "token_type": "Bearer"}).encode()
    assert account.read(Reply(200, {}, answer)) == Token("ya29.a", held_s)


UNUSABLE = [
    {"access_token": "a\r\nX-Evil:1", "expires_in": 10},
    {"access_token": "", "expires_in": 10},
    {"access_token": 7, "expires_in": 10},
    {"access_token": "a", "expires_in": 0},
    {"access_token": "a", "expires_in": float("nan")},
    {"access_token": "a"},
]


@pytest.mark.parametrize("answer", UNUSABLE)
def test_a_token_that_cannot_be_used_is_none(account: ServiceAccount, answer: object) -> None:
    result = account.read(Reply(200, {}, dumps(answer).encode()))
    assert isinstance(result, Result)
    assert (result.kind, result.reason) == (Kind.UNAVAILABLE, "token_unavailable")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Reply(400, {}, b'{"error": "invalid_grant"}'), Kind.MISCONFIGURED),
        (Reply(401, {}, b""), Kind.MISCONFIGURED),
        (Reply(429, {}, b""), Kind.UNAVAILABLE),
        (Reply(503, {}, b""), Kind.UNAVAILABLE),
        (Fault(True, "connect_failed"), Kind.UNAVAILABLE),
        (Fault(False, "timed_out"), Kind.UNAVAILABLE),
    ],
)
def test_a_refusal_is_ours_to_mend_and_anything_else_passes(
    account: ServiceAccount, answer: Reply | Fault, kind: Kind
) -> None:
    result = account.read(answer)
    assert isinstance(result, Result)
    assert result.kind is kind
