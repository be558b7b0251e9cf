"""How a store of any earlier version becomes one of today: one file a step in `versions`, run by Alembic.

A step is never edited once it was released. To add one: a new file in `versions`, its revision at the end of
`schema.KNOWN`, the tables of `schema` changed alike; a test compares both ways of getting there.
"""
