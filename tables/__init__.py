"""The memory: one file a table, with its entry and its folds. Imports schemas only.

A table is declared as data (`Table`), held by the engine in RocksDB, and seen by a stage as `Entries`; in a test a
`DictEntries` is the whole table. Entries are bytes: small, immutable, the same in RocksDB and in the changelog.
"""
