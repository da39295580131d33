"""SMS, addressed by an E.164 number."""

import re

from schemas.channel import Channel

_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
"""ITU-T E.164, 6.1: 15 digits at most, the country code first."""

CHANNEL = Channel(
    "sms",
    rank=2,
    parts=("body",),
    accepts=lambda address: _NUMBER.fullmatch(address) is not None,
    form="a number in E.164 form, such as +4917600000001",
)
