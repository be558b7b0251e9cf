"""Every error that midshift raises on purpose.

    MidshiftError
    ├── UsageError        the command line or a call asks for what cannot be (exit code 2)
    │   └── ScoreOutOfRange a score lies outside the range that was declared for it
    ├── InputError        a file cannot be read as what it should be (exit code 2)
    ├── ConfigError       a definition is wrong: file:line:column, what was found, what was expected (exit code 2)
    ├── InvalidTransition something cannot happen to an upgrade in its present state (exit code 2)
    └── StoreError        the store refuses or cannot be reached (exit code 4)
        └── Fenced        somebody else has changed the row since it was read; read again

Whose fault it is *is* the class. Each message says what was found and where, what was expected, and what to
type next; values from files are shown with `repr`, so that hostile text stays text.
"""

from __future__ import annotations


class MidshiftError(Exception):
    """Base of every deliberate error: a message that a person can act on."""

    exit_code = 4


class UsageError(MidshiftError):
    """A command line or a call that asks for something that cannot be."""

    exit_code = 2


class ScoreOutOfRange(UsageError):
    """A score lies outside the range that was declared for it."""


class InputError(MidshiftError):
    """A file cannot be read as the thing that it should be."""

    exit_code = 2


class ConfigError(MidshiftError):
    """A definition is wrong, or asks for what is refused."""

    exit_code = 2


class InvalidTransition(MidshiftError):
    """Something cannot happen to an upgrade in its present state."""

    exit_code = 2


class StoreError(MidshiftError):
    """The store refuses, or cannot be reached."""


class Fenced(StoreError):
    """A row has changed since it was read, so what was decided on it is not written."""
