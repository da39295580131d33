"""Structured logs: one JSON object a line, ids and names only, and the same thing at most once a minute."""

import json
import logging
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

AGAIN_S = 60.0
"""A warning or error of a kind that was told is told again after so long."""
LABELS = ("table", "dependency", "flow", "code", "template", "row")
"""Fields that tell kinds of one event apart. Producers choose some: so many kinds are remembered at most."""
TOLD_BY_CHANGE = frozenset({"carillon.dependencies"})
"""Loggers that tell each change of state once: none of their lines is a repeat."""
_KINDS = 1_000
_STANDARD = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """Event name, level, time and the fields given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        line = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line |= {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__
        return json.dumps(line, default=str)


@dataclass(slots=True)
class _Kind:
    """When a kind was last told, and how many of it were not told since."""

    told_at: float
    suppressed: int = 0


class Repeats(logging.Filter):
    """Of the warnings and errors of a kind lets the first pass, then one in `AGAIN_S`, with how many it held back.

    A kind is a logger's message before its arguments are put in: what a client says of a broker that is away comes by
    the hundred a second. `clock` gives seconds that never go back. Any thread may log.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._kinds: OrderedDict[tuple[object, ...], _Kind] = OrderedDict()
        """The kind told last comes last; the others are forgotten first."""
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write it. Adds `suppressed` to one that follows others that were not."""
        if not logging.INFO < record.levelno < logging.CRITICAL or record.name in TOLD_BY_CHANGE:
            return True
        name = (record.name, record.levelno, str(record.msg), *(record.__dict__.get(label) for label in LABELS))
        with self._lock:
            now, kind = self._clock(), self._kinds.get(name)
            if kind is not None and now - kind.told_at < AGAIN_S:
                kind.suppressed += 1
                return False
            if kind is not None and kind.suppressed:
                record.suppressed = kind.suppressed
            self._kinds[name] = _Kind(now)
            self._kinds.move_to_end(name)
            if len(self._kinds) > _KINDS:
                self._kinds.popitem(last=False)
        return True


def configure(level: str = "INFO") -> None:
    """Log to stderr. Libraries are held at WARNING: at DEBUG some of them print what they send."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    handler.addFilter(Repeats())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(True)
    logging.getLogger("carillon").setLevel(level)
    for name in ("faust", "mode", "aiokafka"):
        logging.getLogger(name).setLevel(logging.WARNING)
