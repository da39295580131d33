"""One worker process of the runs in this folder: `worker.py FLOW...`, everything else from the environment.

CHAOS_PLANTS names faults of `plants/`, with commas between them, that are planted in this process.
"""

import os
import sys
from importlib import import_module

from flows import logs, roster
from flows.engine.host.process import Host, run
from flows.settings import Settings

logs.configure()
for name in filter(None, os.environ.get("CHAOS_PLANTS", "").split(",")):
    import_module(f"plants.{name}").plant()
found = Settings.from_environment()
run(roster.build(sys.argv[1:], found), Host.of(found, found.state))
