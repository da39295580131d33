"""Taps: consumers beside the path, one file each, found by discovery. No sender waits for them.

A tap reads one topic in a group of its own: `READS` names it, `tap(batch, tables, outbox)` is its stage, and `TABLE`,
if it remembers something, its table, named like the file. `flows/taps.py` makes the flow `tap.<file>` of it. Batches
can come twice: what must not count twice remembers how far it has counted. Copy `volume` to begin.
"""
