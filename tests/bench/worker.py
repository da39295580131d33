"""Host flows in one process, as `carillon worker` does: `python worker.py route.high record`; settings: CARILLON_*."""

import sys

from flows import logs, roster
from flows.engine.host.process import Host, run
from flows.settings import Settings

if __name__ == "__main__":
    settings = Settings.from_environment()
    logs.configure()
    run(roster.build(sys.argv[1:], settings), Host.of(settings, settings.state))
