"""How a provider wants to be shown a key: one header, whose name is the vendor's."""

from __future__ import annotations

from enum import StrEnum


class Auth(StrEnum):
    """The header that carries a key. Each value but `bearer` and `none` is the name of the header."""

    BEARER = "bearer"
    X_API_KEY = "x-api-key"
    API_KEY = "api-key"
    X_GOOG_API_KEY = "x-goog-api-key"
    NONE = "none"

    def headers(self, key: str | None) -> tuple[tuple[str, str], ...]:
        """The header lines that show a key: one, or none where there is no key to show."""
        if key is None or self is Auth.NONE:
            return ()
        return (("authorization", f"Bearer {key}"),) if self is Auth.BEARER else ((self.value, key),)
