"""Where a secret is kept, as files say it: a reference, never the secret.

Elsewhere: what a reference leads to (the command line resolves it, in the process that needs it).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class SecretKind(StrEnum):
    """Where a secret is kept."""

    ENV = "env"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class SecretRef:
    """Where to find a secret: never the secret."""

    kind: SecretKind
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `env:NAME` or `file:PATH`.

        Raises:
            ValueError: for anything else; the text is not repeated, for it may be the secret itself.
        """
        kind, _, name = text.partition(":")
        if kind not in tuple(SecretKind) or not name:
            raise ValueError("expected a reference to a secret, env:NAME or file:PATH")
        return cls(SecretKind(kind), name)

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"
