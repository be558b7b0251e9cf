"""Where a provider answered when a ledger began, so that answers of one address are not taken for those of another.

The key of a call names the provider and not its address. So a ledger has, in a file beside it, the address that each
provider had when it was first asked: answers from there have the plain key. At any other address (another base_url,
wire, or header of its own) the address is part of the key: all is asked anew, which is said before it is paid, and
whoever goes back finds the first answers again. A ledger from before this file takes the present address for that of
its answers, and says so.
Elsewhere: keys (evals.requests), servers of this machine in a provider's place (upstreams).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from midshift.cli.project import write_whole
from midshift.errors import InputError
from midshift.providers.definition import Provider
from midshift.providers.http.settings import Upstream
from midshift.store.ledger import has_calls_of

FORMAT = "midshift.places/1"


class Places:
    """The addresses of one ledger's providers; `tell` hears what has to be said, each once."""

    def __init__(self, ledger: Path, tell: Callable[[str], None], is_read_only: bool = False) -> None:
        self._ledger = ledger
        self._tell = tell
        self._is_read_only = is_read_only
        self._file = ledger.with_name(f"{ledger.name}.places.json")
        self._found: dict[str, str] = {}

    def place(self, name: str, provider: Provider | None, upstream: Upstream, wire: str) -> str:
        """What sets the answers of a provider's present address apart; empty at the one that the ledger began with.

        Raises:
            InputError: if the file beside the ledger is none of its form.
        """
        if name not in self._found:
            self._found[name] = self._looked_up(name, address(provider, upstream, wire))
        return self._found[name]

    def _looked_up(self, name: str, now: str) -> str:
        known = self._known()
        first = known.get(name)
        if first is None:
            self._adopt(name, now, known)
        elif first != now:
            self._tell(
                f"{name!r} answers at {now} now; this ledger began with {first}. What it answered there is not used: "
                "every call to it is asked, and paid, anew. To use those answers again: the base_url, wire and headers "
                "of then"
            )
        return "" if first in (None, now) else now

    def _adopt(self, name: str, now: str, known: Mapping[str, str]) -> None:
        if has_calls_of(self._ledger, name):
            self._tell(
                f"the ledger {self._ledger} does not say where {name!r} gave the answers in it; they are taken to be "
                f"of {now}, its address now. If they are not: --state ANOTHER_FOLDER"
            )
        if not self._is_read_only:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            content = {"format": FORMAT, "providers": {**known, name: now}}
            write_whole(self._file, json.dumps(content, indent=2, sort_keys=True).encode() + b"\n")

    def _known(self) -> dict[str, str]:
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
            return {str(name): str(where) for name, where in found["providers"].items()}
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(
                f"{self._file}: found no addresses of providers, expected {FORMAT!r}; without them nobody can say "
                f"where the ledger's answers come from. Type next: restore it from a backup, or rm {self._file}"
            ) from None


def address(provider: Provider | None, upstream: Upstream, wire: str) -> str:
    """Where a provider answers, and how it is asked there: its address, its wire, and a digest of its own headers.

    Headers that midshift adds by itself are left out: a newer midshift buys nothing again.
    """
    own = {} if provider is None else {name.lower(): value for name, value in provider.headers.items()}
    said = json.dumps(sorted(own.items()))
    headers = f", headers {hashlib.sha256(said.encode()).hexdigest()[:12]}" if own else ""
    return f"{upstream.base_url.rstrip('/')} ({wire}{headers})"
