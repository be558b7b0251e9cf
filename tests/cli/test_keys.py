"""References to keys are resolved in one place, and no key shows anywhere."""

from pathlib import Path

import pytest

from midshift.cli.keys import Resolved, credentials, require_key
from midshift.errors import ConfigError
from midshift.providers.definition import Provider
from midshift.providers.secrets import SecretKind, SecretRef

PLANTED = "planted-" + "secret-0123456789"
OPENAI = Provider("openai", "openai")
IN_A_FILE = Provider("openai", "openai", key=SecretRef(SecretKind.FILE, "key.txt"))
WITH_SHADOW = Provider("openai", "openai", shadow_key=SecretRef(SecretKind.ENV, "SHADOW"))


def test_a_key_comes_from_the_variable_that_is_named() -> None:
    """The vendor's own, unless another is said; without the line's end that editors leave."""
    found = credentials([OPENAI], {"OPENAI_API_KEY": f"{PLANTED}\n"})

    assert {"openai": Resolved(SecretRef(SecretKind.ENV, "OPENAI_API_KEY"), PLANTED)} == found
    assert found["openai"].is_usable


def test_a_key_comes_from_a_file_beside_midshift_yaml(tmp_path: Path) -> None:
    """As secrets are mounted into a container."""
    (tmp_path / "key.txt").write_text(f"{PLANTED}\n", encoding="utf-8")

    assert PLANTED == credentials([IN_A_FILE], {}, tmp_path)["openai"].key


def test_a_provider_that_asks_for_no_key_needs_none() -> None:
    """A simulated one, or a server of one's own."""
    found = credentials([Provider("sim", "simulated")], {"OPENAI_API_KEY": PLANTED})["sim"]

    assert (Resolved(), True) == (found, found.is_usable)


def test_a_shadow_key_is_its_own() -> None:
    """Mirrored requests must not fall back on the users' quota because a variable is misspelt."""
    both = credentials([WITH_SHADOW], {"OPENAI_API_KEY": "k", "SHADOW": "s"})["openai"]
    one = credentials([WITH_SHADOW], {"OPENAI_API_KEY": "k"})["openai"]

    assert ("k", "s", "") == (both.key, both.shadow_key, both.trouble)
    assert ("k", None, "found no SHADOW in the environment") == (one.key, one.shadow_key, one.trouble)


def test_a_key_that_is_not_there_is_refused_by_its_reference(tmp_path: Path) -> None:
    """Whoever starts the process must know what to type."""
    with pytest.raises(ConfigError, match="found no OPENAI_API_KEY in the environment.*export OPENAI_API_KEY=KEY"):
        require_key("openai", credentials([OPENAI], {})["openai"])
    with pytest.raises(ConfigError, match="file:key.txt cannot be read .No such file.*write the key into key.txt"):
        require_key("openai", credentials([IN_A_FILE], {}, tmp_path)["openai"])
    (tmp_path / "key.txt").write_bytes(b"\xff")
    assert "file:key.txt cannot be read (no UTF-8 text)" == credentials([IN_A_FILE], {}, tmp_path)["openai"].trouble
    (tmp_path / "key.txt").write_bytes(b" \n")
    assert "found nothing in file:key.txt" == credentials([IN_A_FILE], {}, tmp_path)["openai"].trouble


@pytest.mark.parametrize("unfit", [f"{PLANTED} {PLANTED}", f"{PLANTED}\nX-Evil: 1", f"{PLANTED}ü", PLANTED * 2000])
def test_a_key_that_no_header_can_carry_is_refused_and_not_repeated(unfit: str) -> None:
    """A whole file of keys, a header smuggled in: nothing of it may reach a log."""
    found = credentials([OPENAI], {"OPENAI_API_KEY": unfit})["openai"]

    with pytest.raises(ConfigError) as refused:
        require_key("openai", found)

    assert found.key is None
    assert PLANTED not in f"{refused.value} {refused.value!r} {found!r} {found}"


def test_a_key_shows_in_no_description_of_what_holds_it() -> None:
    """A traceback prints what is at hand."""
    found = credentials([WITH_SHADOW], {"OPENAI_API_KEY": PLANTED, "SHADOW": f"{PLANTED}-2"})

    assert PLANTED not in f"{found!r} {found['openai']} {WITH_SHADOW!r}"
