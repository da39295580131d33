"""How rough it is: every wait of the world outside is drawn here, and every refusal; fair once it has cleared up."""

import random


class Weather:
    """Draws for one seed. `rough` is how often something is out of the ordinary, 0 to 1; 0 after `clear_up`."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self.rough = draw.choice((0.0, 0.03, 0.1, 0.25))
        self._stale = draw.choice((0.0, 0.1, 0.3))
        self._hands_back = draw.choice((0.0, 0.1, 0.3))
        self._quick = draw.choice((0.6, 0.95))
        self.refused = 0
        self._records = draw.choice((1, 3, 50))
        self._outage = draw.choice((0.0, 0.0, 0.0, 0.9))
        self._slowest_s = draw.choice((0.4, 0.4, 6.0))

    def clear_up(self) -> None:
        """Nothing goes wrong from now on."""
        self.rough, self._quick, self._hands_back = 0.0, 1.0, 0.0

    def _odd(self) -> bool:
        return self._draw.random() < self.rough

    def store_s(self) -> float:
        """How long the store of rows thinks about a request: at worst longer than any drain."""
        return self._draw.random() * (8.0 if self._odd() else 0.05)

    def untaken(self) -> bool:
        """Whether the store of rows leaves a row out."""
        return self._odd()

    def call_s(self) -> float:
        """How long a provider thinks about a call: at times longer than a drain, or than anybody should wait."""
        return self._draw.random() * (0.2 if self._draw.random() < self._quick else self._draw.choice((4.0, 15.0)))

    def wire_s(self) -> float:
        """One way between a client and the broker."""
        return self._draw.random() * (self._slowest_s if self._odd() else 0.003)

    def ack_s(self) -> float:
        """From when a record has landed to when its producer knows."""
        return self._draw.random() * (3.0 if self._odd() else 0.003)

    def breaks(self) -> bool:
        """Whether a connection breaks before the answer is through."""
        return self._odd()

    def moves(self) -> bool:
        """Whether a partition has another leader just now."""
        return self._odd()

    def fetch_s(self) -> float:
        """From when records are there to when a fetch has brought them."""
        return self._draw.random() * (0.2 if self._odd() else 0.005)

    def stale_s(self) -> float:
        """How long a fetch that was done lies about, whoever seeks or rebalances meanwhile; mostly not at all."""
        return self._draw.random() * 1.2 if self._draw.random() < self._stale else 0.0

    def outage(self) -> bool:
        """Whether the provider is away."""
        return self._draw.random() < self._outage

    def missing(self) -> bool:
        """Whether a template has to be fetched first."""
        return self._draw.random() < 0.1

    def hands_back(self) -> bool:
        """Whether a stage hands back what is left of a batch."""
        return self._draw.random() < self._hands_back

    def refuses(self) -> bool:
        """Whether a commit fails."""
        refused = self._odd()
        self.refused += refused
        return refused

    def restore_s(self) -> float:
        """How long a restore waits for the next records."""
        return self._draw.random() * (0.3 if self._odd() else 0.02)

    def restore_records(self) -> int:
        """How many records of a partition it gets at once."""
        return self._records
