"""Provider accounts for the sandbox, which takes any: `python -m deploy.local.accounts COMMAND...` runs with them.

They are made up here instead of written down, so that nothing in the repository looks like a credential.
"""

import os
import sys
from functools import cache

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


@cache
def environment() -> dict[str, str]:
    """The CARILLON_* settings of Twilio, SendGrid and FCM, all but their addresses; one line each.

    The sandbox reads the form of a token request but not its signature, so any RSA key will do for FCM.
    """
    pem = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return {
        "CARILLON_TWILIO_ACCOUNT": "AC" + "0" * 32,
        "CARILLON_TWILIO_KEY": "SK" + "0" * 32,
        "CARILLON_TWILIO_SECRET": "local",
        "CARILLON_TWILIO_FROM": "+15005550006",  # Twilio's own test number, always a valid sender
        "CARILLON_SENDGRID_KEY": "SG.local",
        "CARILLON_SENDGRID_FROM": "carillon@example.com",
        "CARILLON_FCM_PROJECT": "local",
        "CARILLON_FCM_ACCOUNT": "carillon@local.example.com",
        "CARILLON_FCM_KEY": pem.decode().replace("\n", "\\n"),
    }


def main() -> None:
    """Become the command named on the command line."""
    if len(sys.argv) == 1:
        sys.exit("Name a command to run: python -m deploy.local.accounts carillon worker --lane high")
    os.execvpe(sys.argv[1], sys.argv[1:], {**os.environ, **environment()})  # noqa: S606


if __name__ == "__main__":
    main()
