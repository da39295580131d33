"""How long each server that a process depends on has been silent, and which of them are lost."""

import logging
from collections.abc import Callable, Iterable, Mapping

SILENT_S = 10.0
"""A dependency that has been silent for longer is lost: more than the longest time-out of a client and a second try."""
TELL_S = 60.0
"""While it is lost the log says so once in that time."""

log = logging.getLogger("carillon.dependencies")


class Dependencies:
    """The dependencies of a process by name, each with all that its flows know of it.

    `asked` holds functions that return seconds of silence: since the server last answered, while it owes an answer,
    else 0. A name is the setting with the server's address, less `CARILLON_`.
    """

    def __init__(self, asked: Iterable[tuple[str, Callable[[], float]]], *, silent_s: float = SILENT_S) -> None:
        self._asked: dict[str, list[Callable[[], float]]] = {}
        for name, ask in asked:
            self._asked.setdefault(name, []).append(ask)
        self._silent_s = silent_s
        self._told_at: dict[str, float] = {}
        """When the log last said that a dependency is lost (the caller's seconds)."""
        self._lost: Mapping[str, str] = {}

    def look(self, now: float) -> dict[str, float]:
        """Ask for each silence; returns the longest by name, in seconds. Logs what is lost since, and what is back.

        `now` is in seconds that never go back.
        """
        silent = {name: max(ask() for ask in asks) for name, asks in self._asked.items()}
        lost = {name: seconds for name, seconds in silent.items() if seconds > self._silent_s}
        for name in lost.keys() | self._told_at.keys():
            self._tell(name, silent[name], now, lost=name in lost)
        self._lost = {name: f"has not answered for {seconds:.0f} s" for name, seconds in lost.items()}
        return silent

    def _tell(self, name: str, seconds: float, now: float, *, lost: bool) -> None:
        told_at, fields = self._told_at.get(name), {"dependency": name, "setting": f"CARILLON_{name.upper()}"}
        if not lost:
            del self._told_at[name]
            log.warning("dependency_back", extra=fields)
        elif told_at is None or now - told_at >= TELL_S:
            self._told_at[name] = now
            event = "dependency_lost" if told_at is None else "dependency_still_lost"
            log.warning(event, extra=fields | {"silent_s": round(seconds, 1)})

    def lost(self) -> dict[str, str]:
        """What was lost at the last look, and since when. From any thread."""
        return dict(self._lost)
