"""The work: one verb a file.

Read in the order a notification travels: dedup, enrich, route; then deliver with render; then what follows a call:
retry, settle, learn, bury. Every stage is a function over a batch, tables that may be dicts, and the time as an
argument; none sees a Faust app.

Providers stand apart. `provider` is the contract, `providers/` holds one file a vendor and no socket, and `transport`
is the only door to them, on the connections of `http_client`.
"""
