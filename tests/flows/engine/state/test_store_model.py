"""A store against a model: whatever is written, restored and reopened, the log's order decides; nothing young goes."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import example, given, settings
from hypothesis import strategies as st

from flows.engine.state.store import Store

KEEP_S = 100
Step = tuple[str, int]
KEYS = [b"\0\0a", b"\0\0b", b"\0\0c"]
STEPS = st.one_of(
    st.tuples(st.just("write"), st.integers(0, len(KEYS) - 1)),
    st.tuples(st.just("delete"), st.integers(0, len(KEYS) - 1)),
    st.tuples(st.just("persist"), st.just(0)),
    st.tuples(st.just("wait"), st.sampled_from([1, 59, 60, 99, 100, 101, 250])),
    st.tuples(st.just("restart"), st.sampled_from([0, 30, 1_000])),
    st.tuples(st.just("restore"), st.integers(0, 12)),
    st.tuples(st.just("wipe"), st.just(0)),
)


class Modelled:
    """A store, the log that it stands for, and the true time; each process has a clock that begins anywhere."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._lives = folder, 0
        self.now, self._clock_began = 1_000_000.0, 0.0
        self.log: list[tuple[float, bytes, bytes | None]] = []
        self.store = self._opened()

    def _opened(self) -> Store:
        """A store of a further process, whose monotonic clock has an origin of its own."""
        self._lives += 1
        self._clock_began = self.now - (7_777.0 * self._lives) % 10_000
        return Store(self._folder / str(self._lives // 1_000), KEEP_S, self._clock)

    @property
    def _clock(self) -> float:
        return self.now - self._clock_began

    def take(self, step: Step) -> None:
        """One step of a history."""
        what, how = step
        match what:
            case "write" | "delete":
                entry = b"%d" % len(self.log) if what == "write" else None
                self.log.append((self.now, KEYS[how], entry))
                self.store.write({KEYS[how]: entry})
            case "persist":
                self.store.write({}, {0: len(self.log)})
            case "wait":
                self.now += how
                self.store.turn(self._clock)
            case "restart":
                self.store.close()
                self.now += how
                self.store = self._opened()
                self._restore(self.store.offset(0) or 0)
            case "restore":
                self._restore(max(0, (self.store.offset(0) or 0) - how))
            case "wipe":
                self.store.close()
                self._lives += 1_000
                self.store = self._opened()
                self._restore(0)

    def _restore(self, offset: int) -> None:
        """As `restore` does: in the order of the log."""
        for first in range(offset, len(self.log), 3):
            some = self.log[first : first + 3]
            self.store.write({key: entry for _, key, entry in some}, {0: first + len(some)})

    def check(self) -> None:
        """The last that the log says of a key is what the store says; once that has expired, perhaps nothing."""
        last = {key: (at, entry) for at, key, entry in self.log}
        for key, found in zip(KEYS, self.store.get_many(KEYS), strict=True):
            at, entry = last.get(key, (self.now, None))
            assert found == entry or (found is None and self.now - at >= KEEP_S)


@settings(max_examples=40, deadline=None)
@given(st.lists(STEPS, min_size=4, max_size=25))
@example([("write", 0), ("persist", 0), ("wait", 101), ("write", 0), ("restore", 12), ("wait", 101)])
@example([("write", 0), ("wait", 99), ("restart", 1_000), ("write", 0), ("wait", 1), ("wait", 99), ("delete", 0)])
def test_the_last_that_the_log_says_stands_and_nothing_goes_before_its_time(history: Sequence[Step]) -> None:
    with TemporaryDirectory() as folder:
        modelled = Modelled(Path(folder))
        for step in history:
            modelled.take(step)
            modelled.check()
        modelled.store.close()
