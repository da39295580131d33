"""One key and one message for the tests of the vendors."""

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from agents.provider import Message
from schemas.vocabulary import MessageClass


@pytest.fixture(scope="session")
def rsa_key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def a_message() -> Callable[..., Message]:
    def make(**changed: Any) -> Message:
        usual: dict[str, Any] = {
            "ref": "0d7f1c1e-4a5b.sms.1",
            "channel": "sms",
            "address": "+15551234567",
            "parts": {"title": "Hello", "subject": "Grüße & more", "body": "Zahl 1+1=2 äöü €", "html": "<b>hi</b>"},
            "message_class": MessageClass.TRANSACTIONAL,
            "ttl_s": 300.9,
            "deadline_s": 1_800_000_300,
            "collapse_key": "order-7",
        }
        return Message(**(usual | changed))

    return make
