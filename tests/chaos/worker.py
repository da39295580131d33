"""One worker process of the runs in this folder: `worker.py FLOW...`, everything else from the environment."""

import sys

from flows import logs, roster
from flows.engine.process import Host, run
from flows.settings import Settings

logs.configure()
found = Settings.from_environment()
host = Host(found.worker, found.kafka, found.state, found.ring(), found.metrics_host, found.metrics_port)
run(roster.build(sys.argv[1:], found), host)
