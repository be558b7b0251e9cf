"""Stage one: what two variants answered to the same cases, and whether the candidate is good enough.

rows            one case as both variants answered it; what was wrong with a file, counted and placed
paired_outputs  reads the paired-outputs file (JSON lines)
promptfoo       reads promptfoo's result JSON
contracts       promises about form that a case may ask for: JSON, a schema, an answer at all
requests        a case as one variant is asked it, and the key under which the answer is kept
grading         graders and judges, and what a judge asks
runner          buys what an eval needs, each call once
pairing         from the ledger to graded pairs, and to lines of a paired-outputs file
table           many rows as columns, without their texts
regression      columns to verdicts
"""
