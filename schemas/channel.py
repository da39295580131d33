"""What a channel is; `schemas/channels/` holds one file for each and discovery finds them."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Channel:
    """One way to reach a person.

    `accepts` says whether an address has the right form, `form` in words which one that is; `normalise` makes one form
    of all that reach the same mailbox or device, so that they have one hash. `parts` are the template's parts in order,
    `one_line` those without a line break. `rank` (1 to 8) is the place in the default order of `best`, lowest first,
    and the channel's bit in a dedup entry: it never changes. `every` sends to each of the user's addresses, not to the
    first one only.
    """

    name: str
    rank: int
    parts: tuple[str, ...]
    accepts: Callable[[str], bool]
    form: str
    every: bool = False
    normalise: Callable[[str], str] = str
    one_line: tuple[str, ...] = ()

    @property
    def bit(self) -> int:
        """Its bit in a set of channels."""
        return 1 << (self.rank - 1)
