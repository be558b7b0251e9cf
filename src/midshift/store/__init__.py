"""What outlives a process: routes, upgrades and their events, definitions, sums; and the records of single requests.

Contract: what was acknowledged is there after a crash; a decision is written whole or not at all, by one controller at
a time; a rollback needs nobody. Decides nothing.
Start at `sql.SqlStore`, `recorder.SegmentWriter` and `segments`; they are not imported here, so that a process that
only records loads no database.
Elsewhere: deciding (controller), serving (gateway), the seams themselves (ports), what every store must hold to
(testing.contracts).
"""
