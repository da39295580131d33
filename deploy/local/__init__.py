"""Real servers on 127.0.0.1 without a container engine, for the demo, the tests and the benches.

Start reading at `stack.py`; `servers.py` says what runs, `children.py` and `leash.py` that nothing is left behind,
`fetch.py` what set-up brings here, `up.py` what `carillon up` does.
"""
