"""Stage one: what two variants answered to the same cases, and whether the candidate is good enough.

rows            one case as both variants answered it; what was wrong with a file, counted and placed
paired_outputs  reads the paired-outputs file (JSON lines)
promptfoo       reads promptfoo's result JSON
contracts       promises about form that a case may ask for: JSON, a schema, an answer at all
table           many rows as columns, without their texts
regression      columns to verdicts
"""
