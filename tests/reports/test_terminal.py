"""The report on a terminal: what it shows at which width, and that foreign text stays text."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from midshift.domain.suite import Score
from midshift.evals.regression import Rules
from midshift.reports.comparison import Comparison
from midshift.reports.terminal import show
from tests.builders import a_comparison, a_row, an_output, grades, rows_of

HOSTILE = "\x1b[2J\x1b]8;;http://evil.example\x07\x9b31m\u202egnp\u2066\u200f\u061c\ufeff\r\n\x00\ud800[red]:smile:"
SAFE_CONTROLS = re.compile(r"\x1b\[[0-9;]*m")  # colours, which are our own
INERT = re.compile(r"[^\n\x20-\x7e\u00a1-\u024f\u2010-\u2027\u2030-\u205e\u2190-\u27bf]")


def shown(comparison: Comparison, width: int = 118, full: bool = False, colours: bool = False) -> str:
    """What the terminal gets."""
    out = io.StringIO()
    console = Console(
        file=out, width=width, highlight=False, force_terminal=colours, color_system="truecolor" if colours else None
    )
    show(comparison, console, full)
    return out.getvalue()


def cells(text: str, title: str) -> list[str]:
    """The words on the line of the table that begins with `title`."""
    (found,) = [line.split() for line in text.splitlines() if line.split()[:1] == [title]]
    return found


def drifted(count: int = 60) -> list[dict[str, object]]:
    """Rows whose candidate says "Sure!" first, and whose grades are equal."""
    return [
        a_row(f"case-{number}", an_output(1, "word " * (number + 3)), an_output(1, "Sure! " + "word " * (number % 9)))
        for number in range(count)
    ]


def test_the_decision_stands_first_and_the_variants_below_it() -> None:
    """Who reads one line has read the right one."""
    lines = shown(a_comparison(rows_of(grades(right=300)))).splitlines()

    assert "PROCEED  s: can rule out drops over 1.0 point overall" == lines[0].rstrip()
    assert "old → new" == lines[1].rstrip()
    assert "rows.jsonl: 300 pairs of 300 rows" == lines[2].rstrip()


def test_a_simulation_says_so_before_any_number() -> None:
    """A screenshot of the top must carry it."""
    lines = shown(replace(a_comparison(rows_of(grades(right=30))), incumbent="sim/a")).splitlines()

    assert lines[1].startswith("SIMULATED: ")


def test_what_people_took_upon_themselves_stands_before_any_number() -> None:
    """A forced upgrade must not look like one that was cleared."""
    lines = shown(replace(a_comparison(rows_of(grades(right=30))), taken_on=("FORCED by ada: no time",))).splitlines()

    assert "⚠ FORCED by ada: no time" == lines[1].rstrip()


def test_each_score_and_slice_has_its_line_with_verdict_and_bounds() -> None:
    """The table is the report; everything else is commentary."""
    rows = rows_of(grades(right=600, better=100), "chat") + rows_of(grades(right=60, worse=20), "escalations")

    text = shown(a_comparison(rows))

    assert ["s", "780", "87.2", "97.4", "+10.3"] == cells(text, "s")[:5]
    assert ["▲", "SUPERIOR"] == cells(text, "s")[-2:]
    assert ["escalations", "80", "100.0", "75.0", "−25.0", "−34.3", "to", "−17.9"] == cells(text, "escalations")[:8]
    assert ["✖", "FAIL"] == cells(text, "escalations")[-2:]
    assert ["answered", "780", "100.0", "100.0", "0.0", "−0.4", "to", "+0.4"] == cells(text, "answered")[:8]


def test_contract_slices_without_news_are_shown_on_request() -> None:
    """Twelve lines of "everything was answered" hide the one that matters."""
    comparison = a_comparison(rows_of(grades(right=300)))

    short, full = (shown(comparison, full=full) for full in (False, True))

    assert (3, 4) == (short.count("✔ PASS"), full.count("✔ PASS"))


def test_a_slice_without_data_shows_unknown_and_no_zero() -> None:
    """0.0 would be read as a measurement."""
    text = shown(a_comparison(rows_of(grades(right=6), "a") + rows_of([(None, 1)], "b")))

    assert ["b", "0", "unknown", "unknown", "unknown", "unknown", "◌", "NO_DATA"] == cells(text, "b")[:8]


def test_clusters_have_a_column_only_where_they_matter() -> None:
    """A column that repeats n says nothing."""
    alone = a_comparison(rows_of(grades(right=30)))
    grouped = a_comparison([a_row(number, cluster=f"c{number % 7}") for number in range(30)])

    assert [False, True] == ["clusters" in shown(item) for item in (alone, grouped)]
    assert ["s", "30", "7", "100.0"] == cells(shown(grouped), "s")[:4]


@pytest.mark.parametrize("width", [60, 80, 100, 105, 119, 120, 160, 240])
@pytest.mark.parametrize("full", [False, True])
def test_no_line_is_wider_than_the_terminal(width: int, full: bool) -> None:
    """A wrapped table is no table."""
    text = shown(a_comparison(drifted() + rows_of(grades(right=60, worse=20), "a long name of a slice")), width, full)

    assert width >= max(map(len, text.splitlines()))


def test_a_wide_terminal_gets_a_forest_plot() -> None:
    """Bounds beside each other show at once which slice is which."""
    comparison = a_comparison(rows_of(grades(right=60, worse=20)))

    assert [False, True] == ["●" in shown(comparison, width) for width in (80, 160)]
    assert re.search(r"[├‹]─*●─*┤", shown(comparison, 160))


def test_only_drift_that_is_more_than_chance_is_shown_unless_all_is_asked_for() -> None:
    """Forty lines of noise are not read, and then neither is the forty-first."""
    comparison = a_comparison(drifted())
    flagged = {item.metric for item in comparison.findings if item.flagged}
    quiet = {item.metric for item in comparison.findings} - flagged

    short, full = shown(comparison), shown(comparison, full=True)

    assert "preamble" in flagged
    assert all(metric[:20] in short and metric[:20] in full for metric in flagged)
    assert "line: Sure! word word" in quiet
    assert not any(metric[:20] in short for metric in quiet)
    assert all(metric[:20] in full for metric in quiet)


def test_without_drift_there_is_no_table_of_drift() -> None:
    """An empty table asks to be explained."""
    assert "more than chance" not in shown(a_comparison(rows_of(grades(right=30))))


def test_a_wide_terminal_shows_an_example_of_each_drift() -> None:
    """The next step is to open one."""
    comparison = a_comparison(drifted())

    assert [False, True] == ["case-" in shown(comparison, width) for width in (80, 160)]


def test_trouble_with_the_file_is_told_and_too_much_of_it_is_counted() -> None:
    """The report must not scroll its own verdict away."""
    kinds: list[dict[str, object]] = [
        {"id": ""},
        {"id": 1},
        {"id": 2, "outputs": {}},
        a_row("u", weight=0),
        a_row("v", slice=3),
        a_row("w", slice="*"),
        a_row("x", cluster=[]),
        a_row("y", trial=[]),
        a_row("z", expects=3),
        *(
            a_row(f"n{name}", 1, an_output(1, **{name: -1}))
            for name in ("tokens_in", "latency_s", "cost_usd", "ttft_s")
        ),
    ]
    comparison = a_comparison(rows_of(grades(right=6)) + kinds)

    text = shown(comparison)

    assert 12 == len(re.findall(r"^  \w.*, line \d+", text, re.MULTILINE))
    assert "  and 2 more kinds of trouble; --json has all" in text


def test_the_last_lines_say_by_what_was_judged() -> None:
    """Margin, level and correction are part of the verdict."""
    comparison = a_comparison(rows_of(grades(right=30)), rules=Rules(alpha=0.025))

    text = " ".join(shown(comparison).split())

    assert "margin 2pt of each score's range; one-sided 97.5 % bounds; slices: Holm for FAIL; means over cases" in text


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("full", [False, True])
def test_hostile_text_from_anywhere_comes_out_inert(width: int, full: bool) -> None:
    """Ids, slices, scores, variants, lines of answers and file names are foreign: shown as text, never obeyed."""
    rows = [
        a_row(
            f"{HOSTILE}{number}",
            {"text": f"{HOSTILE}\nold {'w ' * number}", "scores": {HOSTILE: 1}},
            {"text": f"Sure!\n{HOSTILE}", "scores": {HOSTILE: number % 2}},
            slice=f"{HOSTILE}{number % 2}",
        )
        for number in range(40)
    ]
    comparison = replace(
        a_comparison([*rows, {"id": {HOSTILE: 1}}], [Score(HOSTILE)]),
        incumbent=HOSTILE,
        candidate=f"{HOSTILE}new",
        file=f"{HOSTILE}.jsonl",
    )

    plain, coloured = shown(comparison, width, full), shown(comparison, width, full, colours=True)

    assert r"\x1b[2J" in plain
    assert [] == INERT.findall(plain)
    assert plain.splitlines() == SAFE_CONTROLS.sub("", coloured).splitlines()
