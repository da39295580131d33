"""The language: what may be said, on which topic, under which key. Imports nothing of ours.

Start with `records` (what is said) and `topics` (where); then `vocabulary` (the closed lists), `keys` (ids, table keys
and partitions), `sealing` (what nobody else may read), `errors` (the tree), `invalid` (why a record is none)
and `metrics` (every name).
"""
