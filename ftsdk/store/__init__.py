"""Durable job records: a real database, with a copy of each record beside it.

The database library is slow to import, so nothing is imported here; import ``ftsdk.store.store`` where it is needed.
"""
