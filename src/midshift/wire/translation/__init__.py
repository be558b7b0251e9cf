"""From one wire to another, for a variant whose provider speaks another wire than the app.

Requests, answers and streams pass through one neutral form (`conversation`); each wire has a module here that reads
its own form into it and writes it back. What cannot be carried is said by name and never dropped in silence.
"""
