"""What shadow pairs show, in words and as plain values."""

import json
from dataclasses import replace

import pytest
from rich.console import Console

from midshift.reports.shadow import FORMAT, ShadowReport, document, render
from midshift.shadow.divergence import Divergence
from midshift.shadow.drift import Finding, Kind, findings
from tests.builders import measured
from tests.shadow.test_divergence import BIAS
from tests.shadow.test_divergence import measured as measured_divergence
from tests.shadow.test_drift import an_answer, pairs, varied


def some_drift() -> list[Finding]:
    """The candidate says one more thing each time."""
    old = varied(60, 1)
    columns, table, cases = measured(pairs(old, [an_answer(f"{one.text} {BIAS}") for one in old]))
    return findings(columns, cases, table.ids.__getitem__)


def some_divergence() -> list[Divergence]:
    """So it does here."""
    return measured_divergence(120, bias=BIAS).findings()


def shown(report: ShadowReport) -> str:
    """As a wide terminal shows it."""
    console = Console(width=220, highlight=False)
    with console.capture() as captured:
        console.print(render(report))
    return captured.get()


def a_report(found: list[Finding], divergences: list[Divergence]) -> ShadowReport:
    """Of one upgrade."""
    return ShadowReport("support", "support-1", "old [bold]model", "new\x1b[31mmodel", found, divergences)


def test_it_shows_what_is_flagged_and_what_is_left_after_netting() -> None:
    """The two questions that a person has before a canary."""
    text = shown(a_report(some_drift(), some_divergence()))

    assert "drift beyond chance" in text
    assert "length:chars" in text
    assert "of the difference is the incumbent's own randomness" in text


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_name_that_people_type_is_never_cut(width: int) -> None:
    """Three rows that all read `latency: latency_...` cannot be waived."""
    (found, *_) = some_drift()
    metrics = (
        "latency_s_mean",
        "latency_s_p50",
        f"line: {'Is there anything else that I can do for you? ' * 2}".strip(),
    )
    many = [replace(found, kind=Kind.LATENCY, metric=metric, p_adjusted=0.001) for metric in metrics]
    console = Console(width=width, highlight=False)
    with console.capture() as captured:
        console.print(render(a_report(many[:2], [])))
    short = captured.get()
    with console.capture() as captured:
        console.print(render(a_report(many, [])))
    column = "".join(line[: line.find("  ", 2)] for line in captured.get().splitlines()[4:])

    assert "latency:latency_s_mean" in short and "latency:latency_s_p50" in short
    assert "…" not in captured.get()
    assert f"latency:{metrics[2]}".replace(" ", "") in column.replace(" ", "")


def test_without_noise_pairs_it_says_that_nobody_knows() -> None:
    """Missing evidence is not zero."""
    assert "no noise pairs yet" in shown(a_report(some_drift(), []))


def test_noise_pairs_without_texts_are_not_said_to_be_missing() -> None:
    """Whoever keeps no texts would look for pairs that are there."""
    report = replace(a_report(some_drift(), []), noise_pairs=1200)

    assert "1,200 noise pairs, and fewer than 6 requests of which all answers were kept as texts" in shown(report)
    assert "no noise pairs yet" not in shown(report)
    assert "data: {capture:" in document(report)["no_divergence_because"]
    assert document(a_report([], some_divergence()))["no_divergence_because"] is None


def test_names_from_outside_cannot_write_on_the_terminal() -> None:
    """A model's name comes from a file, and an answer's line from a model."""
    text = shown(a_report([], []))

    assert "old [bold]model" in text
    assert "\x1b[31m" not in text


def test_the_plain_values_are_json_with_everything() -> None:
    """Also what is not flagged: whoever reads it may ask another question."""
    found, divergences = some_drift(), some_divergence()
    content = json.loads(json.dumps(document(a_report(found, divergences)), allow_nan=False))

    assert (FORMAT, len(found), len(divergences)) == (
        *(content["format"], len(content["drift"]), len(content["divergence"])),
    )
    assert {"metric", "slice", "n", "net", "low", "high", "own_share", "reason"} <= set(content["divergence"][0])
