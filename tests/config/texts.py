"""The smallest set of files that loads, and ways to change it. Line 7 of the main file is the first that is added."""

from collections.abc import Mapping

BASE = """\
version: 1
workloads:
  support:
    claims: [old-model]
    slices: {escalations: {}}
    incumbent: variants/a.yaml
"""
VARIANT = "provider: sim\nmodel: old\n"
FILES: Mapping[str, str] = {
    "midshift.yaml": BASE,
    "variants/a.yaml": VARIANT,
    "variants/b.yaml": "provider: sim\nmodel: harbour\n",
}


def having(*lines: str) -> dict[str, str]:
    """The main file with more lines in its workload."""
    return {**FILES, "midshift.yaml": BASE + "".join(f"    {line}\n" for line in lines)}


def variant(*lines: str) -> dict[str, str]:
    """The incumbent's file with more lines."""
    return {**FILES, "variants/a.yaml": VARIANT + "".join(f"{line}\n" for line in lines)}


def prompt(mode: str, text: str) -> dict[str, str]:
    """The incumbent with a prompt of its own."""
    return {**variant(f"prompt: {{mode: {mode}, file: ../prompts/p.md}}"), "prompts/p.md": text}
