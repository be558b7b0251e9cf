"""A signature for AWS."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from midshift.providers.lifecycle.answers import SigningKeys
from midshift.providers.lifecycle.sigv4 import signed_get

NOW = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
KEYS = SigningKeys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
BEDROCK = "https://bedrock.eu-central-1.amazonaws.com/foundation-models"


@pytest.mark.parametrize(
    ("url", "token", "region", "service", "signature"),
    [
        # get-vanilla of AWS's Signature Version 4 test suite
        (
            "https://example.amazonaws.com/",
            None,
            "us-east-1",
            "service",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        # as botocore 1.44.5 signs them: a colon is encoded twice, a session token is signed
        (
            f"{BEDROCK}/anthropic.claude-sonnet-4-5-20250929-v1%3A0",
            None,
            "eu-central-1",
            "bedrock",
            "e924e0117d55de176612fbc7c1a9e4bec3d3917db56d8e1ac4e8fa4baaf1f3db",
        ),
        (
            f"{BEDROCK}/amazon.nova-pro-v1%3A0",
            "TOKEN",
            "eu-central-1",
            "bedrock",
            "77e27f2e2a7adb416baabad26c310533663c24243dd884703d2b8961d6adeeae",
        ),
    ],
)
def test_a_signature_is_the_one_that_aws_computes(
    url: str, token: str | None, region: str, service: str, signature: str
) -> None:
    keys = SigningKeys(KEYS.key_id, KEYS.secret, token)

    headers = signed_get(url, keys, region, service, NOW)

    assert headers["authorization"].endswith(f"Signature={signature}")
    assert f"Credential=AKIDEXAMPLE/20150830/{region}/{service}/aws4_request" in headers["authorization"]
    assert "20150830T123600Z" == headers["x-amz-date"]
    assert token == headers.get("x-amz-security-token")


def test_the_hour_counts_and_not_the_zone_that_it_is_told_in() -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=9)))

    assert signed_get(BEDROCK, KEYS, "us-east-1", "bedrock", NOW) == signed_get(
        BEDROCK, KEYS, "us-east-1", "bedrock", elsewhere
    )


def test_keys_do_not_show_when_they_are_printed() -> None:
    assert "wJalr" not in repr(KEYS)
