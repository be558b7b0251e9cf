"""One page out of its parts, by the templates.

Elsewhere: the parts (`verdicts`, `drift`), wording (reports.words), layout and colour (the files in `templates/`).
"""

from __future__ import annotations

from collections.abc import Iterable

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from midshift import __version__
from midshift.domain.gate import Decision
from midshift.domain.verdict import MIN_CLUSTERS, Outcome
from midshift.reports import judging, words
from midshift.reports.comparison import FORMAT, Comparison, rows
from midshift.reports.html.drift import kinds, panels
from midshift.reports.html.naming import NAME_CHARS, listed
from midshift.reports.html.verdicts import forest_axis, group, own_grounds
from midshift.reports.text import visible
from midshift.shadow.drift import ALPHA as DRIFT_ALPHA

_NAMES_LISTED = 12
_RULES = {
    Decision.PROCEED: "All cases together and every slice are shown to be no worse than the margin allows.",
    Decision.PROCEED_WITH_CAUTION: "All cases together clear the gate; some slices do not, or there are none to judge.",
    Decision.COLLECT_MORE: "These data do not decide: the gate for all cases together is neither cleared nor failed.",
    Decision.RETUNE: "All cases or a critical slice FAIL, or all cases lean worse beyond the margin: "
    "re-tune, then compare again.",
    Decision.STOP: "Re-tuning has spent its budget, and the condition that asked for it still holds.",
}


def render(comparison: Comparison) -> str:
    """The page, as text to be written in UTF-8."""
    axis = forest_axis(comparison)
    return _TEMPLATES.get_template("report.html.j2").render(
        title=words.TITLES[comparison.ruling.decision],
        decision=comparison.ruling.decision.value,
        headline=visible(words.headline(comparison), 600),
        rule=_RULES[comparison.ruling.decision],
        regressed=_regressed(comparison),
        unproven=_by_score(comparison.ruling.unproven),
        simulated=comparison.is_simulated,
        simulated_note=visible(words.simulated_note(comparison), 400),
        taken_on=[visible(told, 400) for told in comparison.taken_on],
        incumbent=visible(comparison.incumbent),
        candidate=visible(comparison.candidate),
        file=visible(comparison.file, 400),
        made_at=comparison.made_at.isoformat(),
        made=f"{comparison.made_at:%Y-%m-%d %H:%M %Z}".strip(),
        read=visible(words.rows_read(comparison), 2000),
        blank=comparison.ledger.blank,
        troubles=[visible(told, 600) for told in words.troubles(comparison)],
        axis=axis,
        margin=str(comparison.margin),
        margin_label=f"{words.MINUS}{comparison.margin.points:g}",
        margin_at=axis.at(-comparison.margin.points),
        own_grounds=own_grounds(comparison, axis),
        own_margins=bool(comparison.own_margins),
        groups=[group(score, axis, comparison) for score in comparison.scores],
        judges=[visible(judging.words(note), 800) for note in comparison.judges],
        kinds=kinds(comparison.findings),
        panels=panels(comparison.findings),
        flagged=len(comparison.flagged),
        compared=len(comparison.findings),
        level=_per_cent(1.0 - comparison.alpha),
        alpha=_per_cent(comparison.alpha),
        total_alpha=_per_cent(comparison.alpha * comparison.look.planned * 2**comparison.look.further),
        looks=words.looks(comparison),
        seen=[visible(line, 400) for line in words.seen_in_tuning(comparison.seen)] if comparison.seen else [],
        drift_level=_per_cent(1.0 - DRIFT_ALPHA),
        drift_alpha=_per_cent(DRIFT_ALPHA),
        look=comparison.look,
        weighted=comparison.weighted,
        methods=sorted({str(row.verdict.evidence.interval.method) for row in rows(comparison) if row.verdict.evidence}),
        min_clusters=MIN_CLUSTERS,
        outcomes=Outcome,
        version=__version__,
        format=FORMAT,
    )


def _regressed(comparison: Comparison) -> list[tuple[str, str]]:
    """Everything that FAILs, all cases included; the ruling lists slices alone."""
    failed = [(row.score.name, row.slice) for row in rows(comparison) if row.verdict.outcome is Outcome.FAIL]
    return _by_score(failed)


def _by_score(items: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """(score, its slices in words)."""
    by_score: dict[str, list[str]] = {}
    for score, part in items:
        by_score.setdefault(score, []).append(part)
    return [(visible(score, NAME_CHARS), listed(parts, _NAMES_LISTED)) for score, parts in by_score.items()]


def _per_cent(share: float) -> str:
    return f"{100 * share:.4g} %"


def _fence(value: object) -> object:
    """The last fence before the page: no expression of a template prints a control or an override."""
    if isinstance(value, str) and not isinstance(value, Markup) and not value.isprintable():
        return visible(value, len(value))
    return value


def _breakable(name: str) -> Markup:
    """A name that may be broken behind an underscore, which browsers do not do."""
    return escape(name).replace("_", Markup("_<wbr>"))


def _place(per_cent: float) -> str:
    return f"{per_cent:.2f}%"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("midshift.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_fence,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"breakable": _breakable, "place": _place}
    return environment


_TEMPLATES = _environment()
