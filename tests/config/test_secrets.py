"""What looks like a secret is refused, and nothing repeats it."""

import pytest

from midshift import config
from midshift.config.secrets import holds_key, looks_like_secret, names_secret
from tests.config.texts import BASE, FILES, having, prompt, variant

# In parts, so that no scanner takes this file for a leak.
KEYS = [
    "sk-" + "ant-api03-" + "a1b2C3d4" * 4,
    "sk-" + "proj-" + "a1B2c3D4" * 3,
    "sk_" + "live_" + "0123456789abcdef",
    "AKIA" + "ABCDEFGHIJKLMNOP",
    "AIza" + "Sy" + "a" * 33,
    "ghp" + "_" + "a1" * 18,
    "github" + "_pat_" + "a1" * 15,
    "glpat" + "-" + "a1" * 10,
    "xoxb" + "-" + "123456789012-abcdef",
    "hf" + "_" + "aB" * 17,
    "gsk" + "_" + "aB1" * 12,
    "eyJ" + "hbGciOiJIUzI1NiJ9" + "." + "eyJ" + "zdWIiOiIxMjM0In0" + ".x",
    "Bearer " + "abcdefghijklmnop",
    "-----BEGIN " + "RSA PRIVATE KEY-----",
    "postgresql://me:" + "hunter2" + "@db/midshift",
    "Server=db;Password=" + "hunter2",
    "aB3" * 11,
]
NO_KEYS = [
    "claude-3-7-sonnet-20250219",
    "ft:gpt-4o-mini-2024-07-18:acme:support:9x8YzAbC",
    "us.anthropic.claude-3-7-sonnet-20250219-v1:0",
    "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-20250514-v1:0",
    "accounts/fireworks/models/llama-v3p1-405b-instruct",
    "prompts/Support-Reply-For-Escalations-In-German.V2.md",
    "http://gateway-1:8080",
    "env:MIDSHIFT_DB",
    "0123456789abcdef0123456789abcdef01234567",
    "sk-short",
    "Bearer of bad news",
]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_refused_wherever_it_stands_and_never_repeated(key: str) -> None:
    """A configuration is committed, logged and shown to colleagues: the error about it as well."""
    places = [
        having(f"runbook: '{key}'"),
        having(f"'{key}': 1"),
        having(f"data: {{regions: ['{key}']}}"),
        variant(f"params: {{user: '{key}'}}"),
        {**FILES, "midshift.yaml": BASE + f"environments: {{a: {{store: '{key}'}}}}\n"},
        {**FILES, "midshift.yaml": BASE + f"environments: {{a: {{store: env:A, gateways: ['{key}']}}}}\n"},
        {**FILES, "midshift.yaml": BASE.replace("variants/a.yaml", f"'{key}'")},
    ]

    for files in places:
        with pytest.raises(config.InvalidConfig) as refused:
            config.parse(files)
        assert "not shown" in str(refused.value)
        assert key not in str(refused.value)
        assert key not in repr(refused.value)


@pytest.mark.parametrize("text", NO_KEYS)
def test_a_name_or_a_path_is_no_key(text: str) -> None:
    """A refused model name could not be mended by anybody."""
    assert not looks_like_secret(text)


@pytest.mark.parametrize("key", [key for key in KEYS if holds_key(key)])
def test_a_key_in_a_prompt_is_refused_with_its_line(key: str) -> None:
    """It would go to a vendor with every request, and into every store."""
    with pytest.raises(config.InvalidConfig) as refused:
        config.parse(prompt("replace", f"Be kind.\nUse {key} for it.\n"))

    assert "prompts/p.md:2:1" == str(refused.value.problems[0].place)
    assert key not in str(refused.value)


def test_a_prompt_may_talk_about_keys() -> None:
    """Only what is one is refused."""
    text = "If the user posts a key (sk-...), or a password=..., ask to revoke it.\n"

    assert text.strip() == config.parse(prompt("replace", text)).workloads["support"].incumbent.variant.prompt.text


@pytest.mark.parametrize(
    "name", ["api_key", "apiKey", "x-api-key", "password", "client_secret", "authorization", "access_token"]
)
def test_a_field_that_names_a_secret_takes_no_literal(name: str) -> None:
    """The value may look like nothing; the field says what it is."""
    with pytest.raises(config.InvalidConfig) as refused:
        config.parse(variant(f"params: {{{name}: tr0ub4dor}}"))

    assert names_secret(name)
    assert "tr0ub4dor" not in str(refused.value)


@pytest.mark.parametrize("name", ["max_tokens", "token_budget", "stop_token", "keyword", "secretary", "eos_token"])
def test_a_field_that_only_sounds_like_one_does(name: str) -> None:
    """Parameters of models are full of tokens."""
    assert not names_secret(name)


@pytest.mark.parametrize(
    "literal", ["hunter2", "postgresql://db/midshift", "[hunter2]", "{password: hunter2}", "env:", "env:A B"]
)
def test_the_store_takes_a_reference_and_repeats_nothing_else(literal: str) -> None:
    """Here whatever is not a reference is probably the secret."""
    with pytest.raises(config.InvalidConfig) as refused:
        config.parse({**FILES, "midshift.yaml": BASE + f"environments: {{a: {{store: {literal}}}}}\n"})

    assert "hunter2" not in str(refused.value)
    assert "postgresql" not in str(refused.value)
