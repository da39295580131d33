"""What a flow remembers: `tables` as its stages see them, each over a `store`, which `restore` fills from its log.

`replicated` tables are held whole by every process.
"""
