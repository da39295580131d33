"""SMS, addressed by an E.164 number."""

import re

from schemas.channel import Channel

CHANNEL = Channel(
    "sms",
    rank=2,
    parts=("body",),
    accepts=lambda address: bool(re.fullmatch(r"\+[1-9]\d{6,14}", address)),
    form="a number in E.164 form, such as +4917600000001",
)
