"""The radar as a table, as plain values, and as metrics."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from rich.console import Console

from midshift.domain.retirement import Notice, Retirement, Role, Sighting, Source, State, Use, sighting
from midshift.reports.retirement import age, document, metrics, render

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
TODAY = NOW.date()
SOAK = date(2027, 1, 7)
OLD = Retirement(
    "anthropic",
    "claude-old",
    State.DEPRECATED,
    date(2026, 11, 30),
    "claude-new",
    Source.CATALOGUE,
    "list 1: https://page",
    date(2026, 11, 1),
    notice=Notice(timedelta(days=60), "at least 60 days of notice", "https://notice"),
    others=("vendor's API says 2027-01-01",),
    notes=("vendor's API: host answered 429, asked too often",),
)
FINE = replace(OLD, model="claude-fine", shuts_down_on=date(2028, 1, 1), others=(), notes=())
NOBODY = Retirement("sim", "new", State.UNKNOWN)


def held(*found: Retirement, uses: int = 1) -> list[Sighting]:
    """Models that workloads need as incumbents."""
    return [sighting(item, [Use(f"w{n}", Role.INCUMBENT, SOAK) for n in range(uses)], TODAY) for item in found]


def shown(sightings: list[Sighting], width: int = 200) -> str:
    """The report as text."""
    console = Console(width=width)
    with console.capture() as captured:
        console.print(render(sightings, TODAY))
    return captured.get()


def test_each_date_stands_with_its_source_and_its_age() -> None:
    text = shown(held(OLD))

    assert "2026-11-30" in text
    assert "catalogue, 21 days old" in text
    assert "list 1: https://page" in text
    assert "shuts down in 8 days, 38 days before the end of soak" in text


def test_what_others_say_and_why_it_fell_back_is_shown() -> None:
    text = shown(held(OLD))

    assert "⚠ vendor's API says 2027-01-01" in text
    assert "vendor's API: host answered 429, asked too often" in text
    assert "replacement: claude-new" in text


def test_the_most_urgent_comes_first() -> None:
    text = shown(held(FINE, NOBODY, OLD))

    assert text.index("claude-old") < text.index("sim/new") < text.index("claude-fine")
    assert "✖ a model does not outlive the end of soak" in text


def test_a_date_that_nobody_states_is_called_unknown() -> None:
    text = shown(held(NOBODY))

    assert "unknown" in text
    assert "nobody states a date" in text


def test_a_model_of_many_workloads_takes_no_page() -> None:
    assert "and 14 more" not in shown(held(OLD, uses=6))
    assert "w5 as incumbent until 2027-01-07, 14 more" in shown(held(OLD, uses=20), 400)


def test_a_table_fits_a_narrow_terminal() -> None:
    assert max(len(line) for line in shown(held(OLD, NOBODY), 80).splitlines()) <= 80


@pytest.mark.parametrize("hostile", ["\x1b[2Jgone", "\u202egone"])
def test_hostile_text_of_a_vendor_is_shown_and_not_obeyed(hostile: str) -> None:
    """A replacement's name and a note come from another machine."""
    text = shown(held(replace(OLD, replacement=hostile, notes=(hostile,), others=(hostile,), origin=hostile)))

    assert "\x1b" not in text
    assert "\u202e" not in text


def test_plain_values_have_everything() -> None:
    found = document(held(OLD, NOBODY), NOW)

    assert ("midshift.radar/1", "too_late", "2026-11-22T12:00:00+00:00") == (
        found["format"],
        found["verdict"],
        found["now"],
    )
    old, nobody = found["models"]
    assert ("2026-11-30", 8, -38, "too_late") == tuple(
        old[key] for key in ("shuts_down_on", "days_left", "days_spare", "verdict")
    )
    assert ("catalogue", "2026-11-01", 21, 60) == (
        old["source"],
        old["as_of"],
        old["age_days"],
        old["notice"]["at_least_days"],
    )
    assert [{"by": "w0", "role": "incumbent", "end_of_soak": "2027-01-07"}] == old["used_by"]
    assert (None, None, None, "nobody", None) == tuple(
        nobody[key] for key in ("shuts_down_on", "days_left", "age_days", "source", "origin")
    )


def test_metrics_count_the_days_and_leave_out_what_is_not_known() -> None:
    """An alert on `days_left < 30` must not fire on a zero that means "nobody knows", nor stay silent about it."""
    text = metrics(held(OLD, NOBODY), NOW)

    assert 'midshift_model_days_left{provider="anthropic",model="claude-old",source="catalogue"} 8\n' in text
    assert 'midshift_model_days_spare{provider="anthropic",model="claude-old",source="catalogue"} -38\n' in text
    assert 'midshift_model_retirement_known{provider="sim",model="new",source="nobody"} 0\n' in text
    assert 'days_left{provider="sim"' not in text
    assert f"midshift_radar_last_look_seconds {int(NOW.timestamp())}\n" in text


def test_a_label_is_escaped_as_prometheus_wants_it() -> None:
    odd = replace(NOBODY, model='a"b\\c')

    assert 'model="a\\"b\\\\c"' in metrics(held(odd), NOW)


def test_a_family_is_declared_once_before_its_samples() -> None:
    lines = metrics(held(OLD, FINE, NOBODY), NOW).splitlines()

    names = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert sorted(set(names)) == sorted(names)
    samples = [line.partition("{")[0].split()[0] for line in lines if not line.startswith("#")]
    assert names == list(dict.fromkeys(samples))


@pytest.mark.parametrize(("days", "words"), [(0, "read today"), (1, "1 day old"), (40, "40 days old")])
def test_an_age_is_told_in_days(days: int, words: str) -> None:
    assert words == age(replace(OLD, as_of=TODAY - timedelta(days=days)), TODAY)
