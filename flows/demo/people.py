"""The users of the demo: most can be reached, some opted out, some have dead addresses, some nobody knows."""

from random import Random

from schemas.records import Address, OptOut, Preference
from schemas.sealing import KeyRing
from tables.preferences import sealed_address

TENANT = "acme"
COUNT = 3_000
ONCE_A_DEAD_ADDRESS = 100
DEAD_NUMBER, DEAD_DEVICE = "+15005550009", "unregistered-0000000000000000"
"""Addresses that the sandbox refuses as the providers would: Twilio's own test number, a device that is gone."""


def name_of(number: int) -> str:
    """The user id of a known user."""
    return f"user-{number:05}"


def preference_of(number: int, ring: KeyRing) -> Preference:
    """What is known of a user; the same for the same number, but for the sealing."""
    return _preference(name_of(number), Random(number), ring, dead=number % ONCE_A_DEAD_ADDRESS == 0)  # noqa: S311


def newcomer(user_id: str, dice: Random, ring: KeyRing) -> Preference:
    """The preference of a user who was not known before."""
    return _preference(user_id, dice, ring, dead=False)


def _preference(user_id: str, dice: Random, ring: KeyRing, *, dead: bool) -> Preference:
    found: list[tuple[str, str]] = [("sms", DEAD_NUMBER if dead else f"+4915{dice.randrange(10**8, 10**9)}")]
    if dice.random() < 0.9:
        found.append(("email", f"{user_id}@example.org"))
    if dice.random() < 0.8:
        found += [("push", f"device-{dice.getrandbits(64):016x}") for _ in range(dice.choice((1, 1, 1, 2)))]
    if dead:
        found.append(("push", DEAD_DEVICE))
    return Preference(
        tenant=TENANT,
        user_id=user_id,
        version=1,
        addresses=[_sealed(ring, user_id, *pair) for pair in found],
        preferred=["email"] if dice.random() < 0.2 else [],
        opt_outs=[OptOut(category="news")] * (dice.random() < 0.2)
        + [OptOut(channel="sms", category="orders")] * (dice.random() < 0.05),
    )


def _sealed(ring: KeyRing, user_id: str, channel: str, address: str) -> Address:
    return sealed_address(ring, TENANT, user_id, channel, address)
