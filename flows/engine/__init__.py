"""Faust, a batch at a time.

One sitting: `flow` (what a flow declares), `partition`, `batch`, `frontier`, `turns`, `culprits` and `guarded` (pure),
and `engine`, the loop that they serve. Then `tenure` (partitions taken over and given up), `outside` (calls),
`producer` (what is written and when it is durable) and `seams` (what is left of Faust's client, all of its private
parts that are touched).

Behind them: `kafka/` reads and writes records, `state/` holds tables and restores them, `host/` is the process.
"""
