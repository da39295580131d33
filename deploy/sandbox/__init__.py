"""Stand-ins for the providers, in one process of their own, over real sockets.

`python -m deploy.sandbox --help` says how to run it and how to make it misbehave. It imports nothing of the engine,
so that what it says of a request is a second opinion.
"""
