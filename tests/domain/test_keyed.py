"""HMAC by hand: it has to be everybody's, or stored units and tokens would mean nothing to another version."""

import hmac

from hypothesis import given
from hypothesis import strategies as st

from midshift.domain.keyed import hmac_sha256


@given(key=st.binary(max_size=150), message=st.binary(max_size=300))
def test_it_is_the_hmac_of_the_standard_library(key: bytes, message: bytes) -> None:
    """Also for keys longer than a block, which are hashed first, and for no message at all."""
    assert hmac.digest(key, message, "sha256") == hmac_sha256(key, message)


def test_a_prepared_key_is_not_used_up() -> None:
    """The second message under a key must not go on from the first."""
    assert hmac_sha256(b"key", b"one") == hmac_sha256(b"key", b"one")
    assert hmac_sha256(b"key", b"two") != hmac_sha256(b"key", b"one")
