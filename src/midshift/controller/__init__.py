"""Decides what an upgrade does next, and writes it down.

decide    the only place where evidence becomes an action; pure
evidence  from stored sums and records to the numbers that a decision sees
loop      load, decide, apply, append: the shell
"""
