"""Whether a text looks like a key or a password. Such a text is refused and never repeated.

A net with wide meshes on purpose: what it must not do is to take a model's name or a path for a key. Fields that
hold secrets do not rely on it; they take a reference and nothing else.
"""

from __future__ import annotations

import re

# Every part is bounded or begins at a boundary, so that the search stays linear on hostile text.
_KEYS = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"sk-[A-Za-z0-9_-]{16,}"
    r"|(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{16,}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}"
    r"|AIza[A-Za-z0-9_-]{30,}"
    r"|gh[pousr]_[A-Za-z0-9]{20,}"
    r"|github_pat_[A-Za-z0-9_]{20,}"
    r"|glpat-[A-Za-z0-9_-]{16,}"
    r"|xox[abeprs]-[A-Za-z0-9-]{10,}"
    r"|(?:hf|gsk|r8|nvapi|xai|pplx|tgp_v1)[_-][A-Za-z0-9]{20,}"
    r"|ya29\.[A-Za-z0-9_-]{20,}"
    r"|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}"
    r"|Bearer [A-Za-z0-9._~+/=-]{12,}"
    r")"
    r"|-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----"
)
_PASSWORDS = re.compile(
    r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{0,30}://[^/\s:@]{0,100}:[^/\s@]{1,200}@"
    r"|(?i:(?<![A-Za-z0-9])(?:password|passwd|pwd|api[_-]?key|accountkey|secret)=[^\s;&.<{$*][^\s;&]{3,})"
)
_LONG_RUN = re.compile(r"[A-Za-z0-9]{32,}")
_TELLING_NAME = re.compile(
    r"(?i)(?:^|[_.-])(?:api[_-]?key|apikey|secret|secret[_-]?key|password|passwd|private[_-]?key|authorization"
    r"|(?:access|auth|bearer|api|session)[_-]?token)$"
)


def holds_key(text: str) -> bool:
    """Whether a known kind of key stands in a text of any length, such as a prompt."""
    return _KEYS.search(text) is not None


def looks_like_secret(text: str) -> bool:
    """Whether a single value is, or contains, what is probably a secret."""
    if holds_key(text) or _PASSWORDS.search(text) is not None:
        return True
    return any(_is_mixed(run[0]) for run in _LONG_RUN.finditer(text))


def names_secret(key: str) -> bool:
    """Whether a field of this name would hold a secret."""
    return _TELLING_NAME.search(key) is not None


def _is_mixed(run: str) -> bool:
    return all(any(test(character) for character in run) for test in (str.islower, str.isupper, str.isdigit))
