"""The work: one verb a file.

Read in the order a notification travels: `admit`, `dedup`, `enrich`, `route`; then `deliver` with `render`; then what
follows a call: `settle` with `policy`, `retry`, and `bury` and `unsettled` for what cannot go on. Beside the path
`remember` takes in preferences and `record` makes rows of what happened. Every stage is a function over a batch, tables
that may be dicts, and the time as an argument; none sees a Faust app.

Providers stand apart. `provider` is the contract, `providers/` holds one file a vendor and no socket, and `transport`
is the only door to them, on the connections of `http_client`, to addresses that `resolver` looks up.
"""
