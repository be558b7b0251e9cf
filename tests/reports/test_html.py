"""The page: what it shows, where it draws it, and that nothing foreign gets out of its place."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.domain.gate import Decision, Ruling, ScoreVerdict, SliceVerdict, decide
from midshift.domain.suite import AGGREGATE, Margin, Range, Score, ScoreRole, Slice, SliceRole
from midshift.domain.verdict import Evidence, Outcome, Verdict, judge, no_data
from midshift.evals.rows import Ledger
from midshift.reports.comparison import Comparison
from midshift.reports.html import SLICES_DRAWN, SLICES_OF_DRIFT, render
from midshift.shadow.drift import Finding, Kind, Unit
from midshift.stats.interval import Interval, Method
from midshift.stats.looks import Look

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)" x=\'',
    "' style='position:fixed' y=\"",
    "</title></style></svg><iframe src=//evil.example>",
    "]]><!-- --><svg onload=alert(1)>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt;&#60;b&#62;",
    "\x1b[2J\x1b]0;owned\x07",
    "safe\u202egnp.exe\u2066",
    "\ud800 lone",
    "zero\x00byte\u2028line",
]
VOID = {"meta", "link", "wbr"}


@dataclass(eq=False)
class Node:
    """One element of a parsed page."""

    tag: str
    attributes: dict[str, str]
    children: list["Node"] = field(default_factory=list)
    own_text: list[str] = field(default_factory=list)

    def walk(self) -> Iterator["Node"]:
        """This element and all below it, in the order of the page."""
        yield self
        for child in self.children:
            yield from child.walk()

    def all(self, tag: str, style: str = "") -> list["Node"]:
        """Elements below of one tag, and of one class where one is named."""
        return [node for node in self.walk() if node.tag == tag and (not style or style in node.styles)]

    @property
    def styles(self) -> list[str]:
        """The element's classes."""
        return self.attributes.get("class", "").split()

    @property
    def text(self) -> str:
        """All text in the element, whitespace collapsed."""
        return " ".join(" ".join(piece for node in self.walk() for piece in node.own_text).split())


class Page(HTMLParser):
    """The elements of a page; fails where they do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("", {})
        self._open = [self.root]
        self.feed(text)
        self.close()
        assert [self.root] == self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self._open.append(self._open[-1].children[-1])

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len(dict(attrs)), f"an attribute twice in {tag} {attrs}"
        self._open[-1].children.append(Node(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert tag == self._open.pop().tag

    def handle_data(self, data: str) -> None:
        self._open[-1].own_text.append(data)


def parsed(comparison: Comparison) -> Node:
    """The page of a comparison, as elements."""
    return Page(render(comparison)).root


def evidence(d: float, low: float, high: float, n: int = 100, p: float = 0.5, needs_n: int | None = None) -> Evidence:
    """Evidence on the unit range, from a difference and its bounds."""
    interval = Interval(d, low, high, n, n, 0.05, Method.TANGO)
    return Evidence(interval, 0.8, 0.8 + d, 0.02, p, p, needs_n=needs_n)


VERDICTS = {
    Outcome.SUPERIOR: judge(evidence(0.05, 0.02, 0.08)),
    Outcome.PASS: judge(evidence(0.0, -0.01, 0.01)),
    Outcome.FAIL: judge(evidence(-0.08, -0.12, -0.04, p=0.001)),
    Outcome.INCONCLUSIVE: judge(evidence(-0.01, -0.30, 0.28, n=9, needs_n=2069)),
    Outcome.NO_DATA: no_data("no case has this score for both variants"),
    Outcome.ERROR: Verdict(Outcome.ERROR, "the bounds could not be computed"),
}


def scored(name: str, aggregate: Verdict, *slices: tuple[str, Verdict], scale: Range | None = None) -> ScoreVerdict:
    """One score's verdicts; slices are critical."""
    return ScoreVerdict(
        Score(name, scale or Range()), aggregate, tuple(SliceVerdict(Slice(part), v) for part, v in slices)
    )


def finding(
    metric: str = "chars",
    part: str = AGGREGATE,
    kind: Kind = Kind.LENGTH,
    unit: Unit = Unit.CHARS,
    sides: tuple[float, float] = (800.0, 600.0),
    bounds: tuple[float, float] = (-260.0, -150.0),
    p: float = 1e-9,
    examples: tuple[str, ...] = ("case-1", "case-2", "case-3"),
) -> Finding:
    """One metric in one slice."""
    interval = Interval(sides[1] - sides[0], *bounds, 100, 100, 0.025, Method.SIGN_FLIP)
    return Finding(kind, metric, unit, part, *sides, interval, p, p, 8, examples)


def compared(*scores: ScoreVerdict, findings: tuple[Finding, ...] = (), ruling: Ruling | None = None) -> Comparison:
    """A comparison of these verdicts."""
    ledger = Ledger(read=850)
    return Comparison(
        file="replies.jsonl",
        incumbent="model-a",
        candidate="model-b",
        ruling=ruling or decide(scores),
        scores=scores,
        findings=findings,
        ledger=ledger,
        paired=824,
        without_slice=0,
        margin=Margin(2.0),
        alpha=0.05,
        look=Look(),
        weighted=False,
        made_at=datetime(2026, 11, 22, 14, 27, tzinfo=UTC),
    )


def everything(foreign: Callable[[str], str] = lambda name: name) -> Comparison:
    """One of each thing that a page can show; `foreign` may replace every text that comes from outside."""
    slices = [(foreign(str(outcome.value).lower()), verdict) for outcome, verdict in VERDICTS.items()]
    quality = scored(foreign("resolved"), VERDICTS[Outcome.PASS], *slices)
    watched = SliceVerdict(Slice(foreign("german"), SliceRole.WATCH), VERDICTS[Outcome.INCONCLUSIVE])
    graded = scored(foreign("judge"), VERDICTS[Outcome.SUPERIOR], *slices[:3], scale=Range(1.0, 10.0))
    contract = replace(
        scored(foreign("json_valid"), VERDICTS[Outcome.FAIL], *slices[2:]),
        score=Score(foreign("json_valid"), role=ScoreRole.CONTRACT),
    )
    scores = (replace(quality, slices=(*quality.slices, watched)), graded, contract)
    examples = (foreign("case-1"), foreign("case-2"))
    findings = (
        finding(examples=examples),
        finding(part=foreign("billing"), examples=examples),
        finding(part=foreign("returns"), p=0.4, bounds=(-math.inf, math.inf), examples=()),
        finding(
            f"line: {foreign('Is there anything else?')}",
            AGGREGATE,
            Kind.CLOSING,
            Unit.SHARE,
            (0.98, 0.06),
            (-0.95, -0.89),
        ),
        finding("refusal_like", AGGREGATE, Kind.REFUSAL, Unit.SHARE, (0.0, 0.01), (-0.01, 0.03), p=0.3),
        finding("latency_s_p95", AGGREGATE, Kind.LATENCY, Unit.SECONDS, (2.0, 9.0), (6.1, 8.3)),
        finding("cost_usd", AGGREGATE, Kind.COST, Unit.USD, (0.004, 0.003), (-0.0012, -0.0008)),
        finding("tokens_reasoning", AGGREGATE, Kind.TOKENS, Unit.TOKENS, (0.0, 240.0), (220.0, 260.0)),
    )
    ledger = Ledger(read=850, blank=3)
    ledger.exclude("not_json", 17, foreign("'{\"id\": 1'"))
    ledger.note("candidate_bad_score", 21, foreign("score 'resolved' is 'yes'"))
    return replace(
        compared(*scores, findings=findings),
        file=foreign("replies.jsonl"),
        incumbent=foreign("sim/model-a"),
        candidate=foreign("sim/model-b"),
        ledger=ledger,
        without_slice=12,
        look=Look(2, 3),
        weighted=True,
    )


def test_the_decision_comes_first() -> None:
    """A reader who stops after one line has read the one that counts."""
    page = parsed(compared(scored("resolved", VERDICTS[Outcome.FAIL], ("billing", VERDICTS[Outcome.FAIL]))))
    (title,) = page.all("h1")
    (headline,) = page.all("p", "headline")

    assert "RETUNE" == title.text
    assert "resolved: worse by 8.0 points, at least 4.0 points; also in billing" == headline.text
    assert "RETUNE: model-a \u2192 model-b \u00b7 midshift" == page.all("title")[0].text
    assert ["2026-11-22 14:27 UTC"] == [time.text for time in page.all("time")]
    assert ["all cases, billing"] == [
        bdi.text for bdi in page.all("bdi") if "all cases" in bdi.text and "," in bdi.text
    ]


@pytest.mark.parametrize("decision", Decision)
def test_every_decision_has_a_page(decision: Decision) -> None:
    """A decision that cannot be shown would fail on the day that it is needed."""
    page = parsed(compared(scored("resolved", VERDICTS[Outcome.PASS]), ruling=Ruling(decision, "so it is")))

    assert decision.value.replace("_", " ").upper() == page.all("h1")[0].text
    assert [f"d-{decision.value}"] == page.all("body")[0].styles


def test_a_simulation_says_so() -> None:
    """Made-up figures that pass for measured ones are the worst thing that a report can do."""

    assert [] == parsed(compared(scored("s", VERDICTS[Outcome.PASS]))).all("p", "simulated")
    assert "SIMULATED" in parsed(everything()).all("p", "simulated")[0].text


@pytest.mark.parametrize("outcome", Outcome)
def test_every_verdict_is_a_shape_and_a_word(outcome: Outcome) -> None:
    """Colour alone says nothing to one man in twelve, nor on a printed page."""
    page = parsed(compared(scored("s", VERDICTS[outcome])))
    shown = [
        node for part in ("verdicts", "numbers") for node in by_id(page, part).all("span", f"v-{outcome.value.lower()}")
    ]

    assert 2 == len(shown)
    for node in shown:
        assert outcome.value == node.text
        assert [f"#g-{outcome.value.lower()}"] == [use.attributes["href"] for use in node.all("use")]
    assert by_id(page, f"g-{outcome.value.lower()}").children


def test_what_people_took_upon_themselves_stands_above_the_verdicts() -> None:
    """A forced upgrade must not look like one that was cleared; and a reason is foreign text."""
    told = ("FORCED by ada: <b>no time</b>", "waived * by ada: no time")
    page = parsed(replace(compared(scored("s", VERDICTS[Outcome.FAIL])), taken_on=told))

    assert list(told) == [note.text for note in page.all("p", "taken-on")]
    assert [] == parsed(compared(scored("s", VERDICTS[Outcome.PASS]))).all("p", "taken-on")


@pytest.mark.parametrize("margin", [None, Margin(7.0)], ids=["the usual one", "its own"])
def test_a_row_stands_on_the_line_of_the_margin_that_it_was_judged_by(margin: Margin | None) -> None:
    """A bar that clears another slice's line has shown nothing."""
    found = compared(scored("s", VERDICTS[Outcome.PASS], ("german", VERDICTS[Outcome.PASS])))
    page = parsed(found if margin is None else replace(found, own_margins={"german": margin}))
    (row,) = [one for one in page.all("li", "row") if "german" in one.text]
    grounds = [use.attributes["href"] for use in row.all("use") if "ground" in str(use.attributes.get("href"))]

    assert ["#forest-ground" if margin is None else "#forest-ground-7"] == grounds
    assert by_id(page, str(grounds[0]).removeprefix("#")).all("line", "margin")
    assert (margin is not None) is ("margin 7pt" in row.text)


@pytest.mark.parametrize("outcome", [Outcome.NO_DATA, Outcome.ERROR])
def test_what_is_unknown_is_not_nought(outcome: Outcome) -> None:
    """A mean of 0.0 where nothing was measured reads as a catastrophe, or as no change."""
    page = parsed(compared(scored("s", VERDICTS[outcome])))
    (row,) = by_id(page, "numbers").all("tr", "overall")
    cells = [cell.text for cell in row.all("td")]
    n = "0" if outcome is Outcome.NO_DATA else "unknown"

    assert ["quality", n, n, "unknown", "unknown", "unknown", "unknown", "2pt", outcome.value] == cells[:9]
    assert [VERDICTS[outcome].reason] == cells[9:]
    assert [] == page.all("li", "row")[0].all("use", "estimate")
    assert 1 == len(page.all("li", "row")[0].all("rect", "void"))


def test_an_interval_that_cannot_be_bounded_is_unknown() -> None:
    """Infinite bounds are the honest answer of too few pairs, not a width of nothing."""
    page = parsed(compared(findings=(finding(bounds=(-math.inf, math.inf), p=0.5),)))
    (row,) = by_id(page, "drift").all("tr", "quiet")

    assert "unknown" in [cell.text for cell in row.all("td")]
    assert "too few differing pairs to bound it, p\u00a0=\u00a00.5".replace("\u00a0", " ") in row.text
    assert "inf" not in re.findall(r"[a-z]+", row.text)


def test_without_a_score_there_is_a_page_and_no_verdict() -> None:
    """A file that nothing graded still has drift to show, and must not look like a success."""
    page = parsed(compared(findings=(finding(),)))

    assert "COLLECT MORE" == page.all("h1")[0].text
    assert "No score was judged" in by_id(page, "verdicts").text
    assert [] == page.all("li", "overall")


def test_a_score_is_read_in_its_own_unit_and_drawn_in_points() -> None:
    """A grade of 7.2 out of 10 is not 72 %; but points make scores of any range comparable on one axis."""
    page = parsed(compared(scored("judge", judge(evidence(-0.05, -0.07, -0.03, p=0.001)), scale=Range(1.0, 10.0))))
    cells = [cell.text for cell in by_id(page, "numbers").all("tr", "overall")[0].all("td")]
    (drawn,) = page.all("li", "overall")

    assert ["8.20", "7.75", "\u22120.45", "\u22120.63 to \u22120.27"] == cells[3:7]
    assert "\u22125.0" == drawn.all("span", "points")[0].text
    assert "\u22127.0 to \u22123.0" == drawn.all("span", "range")[0].text


def test_what_an_open_question_needs_is_said() -> None:
    """ "Inconclusive" without a number of cases is no help; a settled question needs none."""
    page = parsed(compared(scored("s", VERDICTS[Outcome.INCONCLUSIVE], ("done", VERDICTS[Outcome.PASS]))))

    assert ["2,069", ""] == [row.all("span", "needs")[0].text for row in page.all("li", "row")]


def test_each_estimate_lies_between_its_bounds_and_on_its_side_of_nought() -> None:
    """The picture must not say anything that the numbers do not."""
    page = parsed(everything())
    zero = position(by_id(page, "forest-ground").all("line", "zero")[0], "x1")
    margin = position(by_id(page, "forest-ground").all("line", "margin")[0], "x1")
    rows = [row for row in page.all("li", "row") if row.all("use", "estimate")]

    assert 0.0 < margin < zero < 100.0
    assert margin == position(by_id(page, "forest-ground").all("rect", "zone")[0], "width")
    assert 13 == len(rows)
    for row in rows:
        (line,), (dot,) = row.all("line", "bounds"), row.all("use", "estimate")
        points = float(row.all("span", "points")[0].text.replace("\u2212", "-"))
        side = position(dot, "x") - zero
        assert 0.0 <= position(line, "x1") <= position(dot, "x") <= position(line, "x2") <= 100.0
        assert math.copysign(1.0, points) == math.copysign(1.0, side) if points else abs(side) < 0.01


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1))
        .map(lambda ends: tuple(sorted(ends)))
        .filter(lambda ends: ends[0] < ends[2]),
        min_size=1,
        max_size=12,
    )
)
def test_any_intervals_fit_on_one_axis(intervals: list[tuple[float, float, float]]) -> None:
    """Clipped bounds say so with an arrow; estimates and nought are always on the axis."""
    verdicts = [judge(evidence(d, low, high)) for low, d, high in intervals]
    page = parsed(compared(scored("s", verdicts[0], *((f"slice-{n}", v) for n, v in enumerate(verdicts[1:])))))
    zero = position(by_id(page, "forest-ground").all("line", "zero")[0], "x1")

    for row, (_, d, _) in zip(page.all("li", "row"), intervals, strict=True):
        (line,), (dot,) = row.all("line", "bounds"), row.all("use", "estimate")
        ends = [use.attributes["href"] for use in row.all("use", "bounds")]
        assert 0.0 <= position(line, "x1") <= position(dot, "x") <= position(line, "x2") <= 100.0
        assert (position(dot, "x") - zero) * d >= -0.01
        assert {"#cut-low": 0.0}.get(ends[0], position(line, "x1")) == position(line, "x1")
        assert {"#cut-high": 100.0}.get(ends[1], position(line, "x2")) == position(line, "x2")


def test_all_cases_stand_out_from_the_slices() -> None:
    """The eye must find the row that the decision starts from, also without colour."""
    page = parsed(everything())
    shapes = {use.attributes["href"] for row in page.all("li", "overall") for use in row.all("use", "estimate")}
    others = {
        use.attributes["href"]
        for row in page.all("li", "row")
        if "overall" not in row.styles
        for use in row.all("use", "estimate")
    }

    assert ({"#diamond"}, {"#dot"}) == (shapes, others)


def test_what_was_wrong_with_the_file_is_listed_with_its_places() -> None:
    """Nothing is dropped in silence."""
    read = by_id(parsed(everything()), "read").text

    assert "824 pairs of 850 rows; left out: 1 not JSON." in read
    assert "Blank lines: 3." in read
    assert "not JSON: 1, line 17" in read
    assert "candidate bad score: 1, line 21 (score 'resolved' is 'yes')" in read
    assert "no slice: 12 rows" in read


def test_drift_lists_all_cases_and_folds_the_slices_away() -> None:
    """One table to read, and every slice behind it for whoever asks."""
    drift = by_id(parsed(everything()), "drift")
    table, *by_slice = drift.all("table")
    first = [cell.text for cell in table.all("tr")[1].all("td")]

    assert 1 == len(drift.all("details")) == len(by_slice)
    assert ["800 chars", "600 chars", "\u221225 %", "\u221232 to \u221219 %"] == first[:4]
    assert ["\u25cf flagged more than chance, p < 0.001", "1 of 2: billing", "case-1 case-2"] == first[4:]
    assert ["billing", "returns"] == [row.all("th")[0].text for row in by_slice[0].all("tr")[1:]]
    assert ["length", "refusal", "closing", "latency", "cost", "tokens"] == [
        family.text for family in table.all("th", "family")
    ]


def test_the_picture_of_drift_shows_what_is_flagged_and_has_a_base() -> None:
    """A change from nothing has no relative size: it is in the table, and in no bar."""
    shares, others = (
        [row.all("span", "name")[0].text for row in figure.all("li", "row")]
        for figure in by_id(parsed(everything()), "drift").all("figure", "moved")
    )

    assert ["line: Is there anything else?"] == shares
    assert ["chars", "latency_s_p95", "cost_usd"] == others


def test_the_looks_and_the_level_are_told() -> None:
    """A bound that was looked at three times is another bound."""
    page = parsed(replace(everything(), alpha=0.05 / 3))

    assert "98.33 % bounds" in by_id(page, "verdicts").text
    assert "5 % one-sided, 1.667 % of it for each of 3 planned looks" in by_id(page, "how").text
    assert "2 of 3" in by_id(page, "how").text
    assert "weighted by each case\u2019s weight" in by_id(page, "how").text


@pytest.mark.parametrize("hostile", [*HOSTILE, "x" * 10_000, "\u0e49" * 10_000], ids=range(len(HOSTILE) + 2))
def test_hostile_text_stays_text(hostile: str) -> None:
    """Ids, slices, scores, lines and file names come from strangers, and the page is opened by people with sessions."""
    harmless, page = parsed(everything()), parsed(everything(lambda name: f"{hostile} {name}"))

    assert anatomy(harmless) >= anatomy(page)
    assert addresses(harmless) == addresses(page)
    assert [] == page.all("script")


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_no_control_and_no_override_reaches_the_page(hostile: str) -> None:
    """A page that is saved, grepped or pasted into a terminal must not carry them either."""
    page = render(everything(lambda name: f"{hostile} {name}"))

    assert [] == re.findall(
        r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]", page
    )
    assert page.encode()


def test_endless_names_are_cut() -> None:
    """A name of ten thousand characters must not push the verdict off the page."""
    page = render(everything(lambda name: name + "x" * 10_000))

    assert "x" * 700 not in page
    assert 150_000 > len(page)


def test_the_page_needs_nothing_and_runs_nothing() -> None:
    """It is attached to tickets and opened on trains: no script, no request, whatever its content."""
    text = render(everything())
    page = Page(text).root
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"

    assert [policy] == [
        meta.attributes["content"]
        for meta in page.all("meta")
        if meta.attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert set() == {node.tag for node in page.walk()} & {"script", "img", "iframe", "object", "embed", "form", "base"}
    assert {"data:,"} == {address for address in addresses(page) if not address.startswith("#")}
    assert ["url(#hatch)"] == re.findall(r"url\([^)]*\)|@import.*|https?:.*", text)


def test_every_reference_finds_its_shape() -> None:
    """A shape that is not there is drawn as nothing, and nothing looks like no verdict."""
    page = parsed(everything())
    ids = [node.attributes["id"] for node in page.walk() if "id" in node.attributes]
    wanted = {address[1:] for address in addresses(page) if address.startswith("#")}
    wanted |= {node.attributes["aria-labelledby"] for node in page.walk() if "aria-labelledby" in node.attributes}

    assert len(ids) == len(set(ids))
    assert set() == wanted - set(ids)


def test_the_page_can_be_read_without_seeing_it() -> None:
    """Landmarks, captions, scopes and titles are what a screen reader goes by."""
    page = parsed(everything())

    assert "en" == page.all("html")[0].attributes["lang"]
    assert [1, 1, 1] == [len(page.all(tag)) for tag in ("h1", "main", "nav")]
    assert all(table.children[0].tag == "caption" and table.children[0].text for table in page.all("table"))
    assert all(cell.attributes["scope"] in ("row", "col", "rowgroup") for cell in page.all("th"))
    for svg in page.all("svg"):
        if svg.attributes.get("aria-hidden") != "true":
            assert ("img", ["title", "desc"]) == (svg.attributes["role"], [child.tag for child in svg.children[:2]])
            assert all(child.text for child in svg.children[:2])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_colour_has_contrast(scheme: str) -> None:
    """WCAG 2.2, 1.4.3: at least 4.5 to 1 for text, in both schemes."""
    blocks = re.findall(r":root \{(.*?)\}", render(compared()), re.DOTALL)
    colours = dict(re.findall(r"--([a-z_]+): (#[0-9a-f]{6})", blocks[["light", "dark"].index(scheme)]))
    texts = {"ink", "soft", "edge", *(outcome.value.lower() for outcome in Outcome)}

    assert texts < set(colours)
    assert {} == {name: colours[name] for name in texts if contrast(colours[name], colours["paper"]) < 4.5}


def test_the_same_comparison_gives_the_same_bytes() -> None:
    """Reports are compared, hashed and archived."""

    assert render(everything()) == render(everything())


def test_a_usual_page_is_small() -> None:
    """Twelve slices, four scores and all of their drift go into a mail."""
    slices = [(f"executable_slice_{n}", VERDICTS[Outcome.INCONCLUSIVE]) for n in range(12)]
    scores = [scored(f"score_{n}", VERDICTS[Outcome.PASS], *slices) for n in range(4)]
    parts = [AGGREGATE, *(name for name, _ in slices)]
    drift = [finding(f"metric_{n}", part) for n in range(25) for part in parts]

    assert 400_000 > len(render(compared(*scores, findings=tuple(drift))).encode())


@pytest.mark.slow
def test_a_thousand_slices_are_drawn_in_part_and_the_page_says_so() -> None:
    """The most that a file may have: the page stays readable, and the worst is what is drawn."""
    verdicts = [VERDICTS[Outcome.PASS], VERDICTS[Outcome.INCONCLUSIVE], VERDICTS[Outcome.SUPERIOR]]
    slices = [(f"slice-{n:04d}", verdicts[n % 3]) for n in range(999)] + [("the bad one", VERDICTS[Outcome.FAIL])]
    scores = [scored(f"score_{n}", VERDICTS[Outcome.PASS], *slices) for n in range(4)]
    parts = [AGGREGATE, *(name for name, _ in slices)]
    drift = [finding(f"metric_{n}", part, p=0.5 if n else 1e-9) for n in range(25) for part in parts]
    comparison = compared(*scores, findings=tuple(drift))

    text = render(comparison)

    assert 8_000_000 > len(text)
    page = Page(text).root
    names = [row.all("span", "name")[0].text for row in page.all("li", "row")]
    assert 4 * (1 + SLICES_DRAWN) == len([name for name in names if not name.startswith("metric")])
    assert 4 == names.count("the bad one")
    assert f"{SLICES_DRAWN} of 1,000 slices are drawn" in by_id(page, "verdicts").text
    assert 4 * 1001 == len([row for row in by_id(page, "numbers").all("tr") if row.all("td")])
    assert f"{SLICES_OF_DRIFT} of 1,000 slices, flagged ones first" in by_id(page, "drift").text


def by_id(page: Node, name: str) -> Node:
    """The one element of this id."""
    (found,) = (node for node in page.walk() if node.attributes.get("id") == name)
    return found


def position(node: Node, attribute: str) -> float:
    """A coordinate in per cent."""
    return float(node.attributes[attribute].removesuffix("%"))


def anatomy(page: Node) -> set[tuple[str, tuple[str, ...]]]:
    """Every kind of element with the attributes that it bears: what foreign text must not add to."""
    return {(node.tag, tuple(sorted(node.attributes))) for node in page.walk()}


def addresses(page: Node) -> set[str]:
    """Everything that a browser could follow or fetch."""
    fetching = {"href", "src", "srcset", "action", "formaction", "data", "poster", "xlink:href", "background", "cite"}
    return {value for node in page.walk() for name, value in node.attributes.items() if name in fetching}


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours as WCAG 2.2 defines it."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb`."""
    channels = [int(colour[start : start + 2], 16) / 255.0 for start in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
