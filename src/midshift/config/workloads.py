"""From a workload's entry in the main file to a `Workload` and its `Plan`.

`check` finds what the domain would refuse, with its place; `workload` and `plan` make the values once nothing was.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from operator import itemgetter

from midshift.config import documents, units
from midshift.config.definitions import VariantFile
from midshift.config.problems import one_of, shown
from midshift.config.reading import Cursor, nearest, unset
from midshift.domain.plan import A_WEEK, SHORTEST_HOLD, WEEKLY_SHARE, Approval, Halts, Plan, Step
from midshift.domain.suite import Margin, Slice, SliceRole
from midshift.domain.workload import (
    BodyEquals,
    Budgets,
    Capture,
    Cycle,
    DataPolicy,
    HeaderEquals,
    LanguageIs,
    Ring,
    SliceRule,
    UnitSource,
    When,
    Workload,
)

SHORTEST_SHADOW = timedelta(days=7)
SHORTEST_SOAK = timedelta(days=14)


def check(entry: documents.Workload, at: Cursor) -> None:
    """Report what single values mean together, and must not."""
    _check_unit(entry, at / "unit")
    _check_slices(entry, at / "slices")
    _check_upgrade(entry, at)


def workload(
    name: str, entry: documents.Workload, incumbent: VariantFile, safe_harbour: VariantFile | None
) -> Workload:
    """The workload of an entry without problems."""
    parts = sorted(entry.slices.items())
    conditions = [(part, unset(entry_of.when)) for part, entry_of in parts]
    return Workload(
        name=name,
        claims=tuple(entry.claims),
        incumbent=incumbent.variant,
        slices=tuple(Slice(part, entry_of.role, _own_margin(entry_of)) for part, entry_of in parts),
        cycle=entry.cycle,
        stakes=entry.stakes,
        margin=Margin(units.points(entry.upgrade.margin)),
        safe_harbour=safe_harbour.variant if safe_harbour else None,
        unit=tuple(map(UnitSource.parse, entry.unit)),
        rules=tuple(SliceRule(part, _when(condition)) for part, condition in conditions if condition is not None),
        budgets=_budgets(entry),
        data=DataPolicy(tuple(entry.data.vendors), tuple(entry.data.regions), _capture(unset(entry.data.capture))),
        rings=tuple(_ring(ring, unset(entry_of.when)) for ring, entry_of in sorted(entry.upgrade.rings.items())),
    )


def plan(entry: documents.Workload) -> Plan:
    """The plan of an entry without problems."""
    upgrade = entry.upgrade
    holds = [*map(units.duration, upgrade.holds), timedelta()]
    shadow = unset(upgrade.shadow)
    approvals = [(units.share(step), listed) for step, listed in upgrade.approvals.items()]
    return Plan(
        steps=tuple(Step(units.share(step), hold) for step, hold in zip(upgrade.steps, holds, strict=True)),
        shadow=units.duration(shadow) if shadow else timedelta(weeks=entry.stakes.shadow_weeks),
        soak=units.duration(upgrade.soak),
        cycle=entry.cycle,
        margin=Margin(units.points(upgrade.margin)),
        halts=Halts(
            eval_points=units.points(upgrade.halt.eval),
            error_rate_points=units.points(upgrade.halt.error_rate),
            satisfaction=upgrade.halt.satisfaction,
        ),
        approvals=tuple(
            Approval(share, approval.role, unset(approval.slice))
            for share, listed in sorted(approvals, key=itemgetter(0))
            for approval in listed
        ),
        noise=units.share(upgrade.noise),
        pairs=units.share(upgrade.pairs),
        rings=tuple(sorted(upgrade.rings)),
        budgets=_budgets(entry),
    )


def _own_margin(entry: documents.Slice) -> Margin | None:
    margin = unset(entry.margin)
    return None if margin is None else Margin(units.points(margin))


def _budgets(entry: documents.Workload) -> Budgets:
    return Budgets(unset(entry.budgets.p99_latency_ms), unset(entry.budgets.cost_per_call_usd))


def _check_unit(entry: documents.Workload, at: Cursor) -> None:
    if at.whole:
        seen = [str(UnitSource.parse(text)) for text in entry.unit]
        for index, source in enumerate(seen):
            if source in seen[:index]:
                (at / index).complain(f"{shown(source)} again in unit", "each source once", "remove one of them")


def _check_slices(entry: documents.Workload, at: Cursor) -> None:
    if at.whole and all(part.role is SliceRole.WATCH for part in entry.slices.values()):
        at.complain(
            "only slices with `role: watch`",
            "at least one that an upgrade waits for, because an average hides the requests that matter",
            "role: critical",
            at_name=True,
        )
    for name, part in entry.slices.items():
        check_margin(unset(part.margin), at / name / "margin")
        when = unset(part.when)
        if when is not None and (at / name / "when").whole:
            _check_when(when, at / name / "when")


def _check_when(when: documents.When, at: Cursor) -> None:
    kinds = [kind for kind in ("header", "body", "language") if unset(getattr(when, kind)) is not None]
    equals = unset(when.equals)
    if len(kinds) != 1:
        at.complain(
            " and ".join(map(repr, kinds)) or "a condition on nothing",
            "exactly one of 'header', 'body' and 'language'",
            "when: {header: NAME, equals: VALUE}",
        )
    elif kinds == ["language"] and equals is not None:
        (at / "equals").complain("'equals' beside 'language'", "the language alone", "remove equals", at_name=True)
    elif kinds != ["language"] and equals is None:
        at.complain(f"{kinds[0]!r} without 'equals'", "the value that it must have", "equals: VALUE")
    elif kinds == ["header"] and not isinstance(equals, str):
        (at / "equals").complain(
            f"{_as_typed(equals)} for a header",
            "text in quotes, for a header has nothing else",
            f"equals: '{_as_typed(equals)}'",
        )


def _as_typed(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_upgrade(entry: documents.Workload, at: Cursor) -> None:
    upgrade, here = entry.upgrade, at / "upgrade"
    if (here / "steps").whole:
        _check_steps(upgrade, here / "steps")
    for name, ring in upgrade.rings.items():
        _check_ring(ring, here / "rings" / name)
    if (here / "steps").whole and (here / "holds").whole:
        _check_holds(entry, here / "holds")
    check_margin(upgrade.margin, here / "margin")
    for name, least in (("shadow", SHORTEST_SHADOW), ("soak", SHORTEST_SOAK)):
        text = unset(getattr(upgrade, name))
        if text is not None and (here / name).whole and units.duration(text) < least:
            (here / name).complain(
                f"{name} of {text}", f"at least {units.in_units(least)}", f"{name}: {units.in_units(least)}"
            )
    _check_approvals(entry, at)


def check_margin(text: str | None, at: Cursor) -> None:
    """Report a margin that is none; None is not there."""
    if text is None or not at.whole:
        return
    points = units.points(text)
    if points == 0:
        at.complain("a margin of 0pt", "more than 0pt: nothing is ever proven not worse by nothing", "margin: 2pt")
    elif points > 100:
        at.complain(f"a margin of {points:g}pt", "at most 100pt, which is the score's whole range", "margin: 2pt")


def _check_ring(ring: documents.Ring, at: Cursor) -> None:
    when = unset(ring.when)
    if when is None or not (at / "when").whole:
        return
    if unset(when.language) is not None:
        (at / "when").complain(
            "a ring by language", "a ring by 'header' or 'body'", "when: {header: NAME, equals: VALUE}"
        )
    else:
        _check_when(when, at / "when")


def _check_steps(upgrade: documents.Upgrade, at: Cursor) -> None:
    shares = [units.share(text) for text in upgrade.steps]
    first = -1.0 if upgrade.rings else 0.0  # at 0% only rings have the candidate
    for index, (early, late) in enumerate(zip([first, *shares], shares, strict=False)):
        if not early < late:
            after = f" after {upgrade.steps[index - 1]}" if index else ""
            (at / index).complain(
                f"the step {upgrade.steps[index]}{after}",
                "each step above the one before, and above 0%",
                "steps: [1%, 5%, 25%, 100%]",
            )
    if upgrade.rings and not any(0.0 < share < 1.0 for share in shares):
        at.complain(
            "steps from the rings straight to 100%", "a share of users between", "steps: [0%, 1%, 5%, 25%, 100%]"
        )
    if shares[-1] != 1.0:
        (at / (len(shares) - 1)).complain(
            f"the last step {upgrade.steps[-1]}", "100% at the end", f"steps: [{', '.join((*upgrade.steps, '100%'))}]"
        )


def _check_holds(entry: documents.Workload, at: Cursor) -> None:
    steps, holds = entry.upgrade.steps, entry.upgrade.holds
    if len(holds) != len(steps) - 1:
        at.complain(
            f"{len(holds)} holds for {len(steps)} steps",
            f"{len(steps) - 1}, one for each step but the last",
            f"holds: [{', '.join([*holds, *['7d'] * len(steps)][: len(steps) - 1])}]",
        )
        return
    shares = [units.share(text) for text in steps[:-1]]
    of_the_week = next((index for index, share in enumerate(shares) if share >= WEEKLY_SHARE), len(shares) - 1)
    for index, hold in enumerate(holds):
        if units.duration(hold) < SHORTEST_HOLD:
            (at / index).complain(f"a hold of {hold} at {steps[index]}", "at least 24h", "24h")
        elif entry.cycle is Cycle.WEEKLY and index == of_the_week and units.duration(hold) < A_WEEK:
            (at / index).complain(
                f"a hold of {hold} at {steps[index]} of a weekly workload",
                "at least 7d there, to see a whole week",
                "7d",
            )


def _check_approvals(entry: documents.Workload, at: Cursor) -> None:
    here = at / "upgrade" / "approvals"
    shares = [units.share(text) for text in entry.upgrade.steps] if (at / "upgrade" / "steps").whole else None
    for step, approvals in entry.upgrade.approvals.items():
        if shares is not None and (here / step).whole and units.share(step) not in shares:
            (here / step).complain(
                f"an approval at {step}",
                f"one of the steps {', '.join(entry.upgrade.steps)}",
                f"{entry.upgrade.steps[-2]}:",
                at_name=True,
            )
        for index, approval in enumerate(approvals):
            _check_slice(unset(approval.slice), entry.slices, at, here / step / index / "slice")


def _check_slice(name: str | None, known: Iterable[str], workload: Cursor, at: Cursor) -> None:
    names = list(known)
    if name is None or not at.whole or not names or name in names:
        return
    if not (workload / "slices").whole:
        return
    near = nearest(name, names)
    at.complain(
        f"the unknown slice {shown(name)}",
        f"{near!r}, perhaps" if near else one_of(names),
        f"slice: {near or names[0]}",
    )


def _when(when: documents.When) -> When:
    if isinstance(when.language, str):
        return LanguageIs(when.language.lower())
    if isinstance(when.header, str):
        return HeaderEquals(when.header.lower(), str(when.equals))
    if isinstance(when.body, str) and isinstance(when.equals, str | int | float):
        return BodyEquals(when.body, when.equals)
    raise ValueError("a condition without header, body or language")


def _ring(name: str, when: documents.When | None) -> Ring:
    return Ring(name, None if when is None else _when(when))


def _capture(capture: documents.Capture | None) -> Capture:
    if capture is None:
        return Capture()
    return Capture(units.share(capture.texts), units.duration(capture.keep), tuple(dict.fromkeys(capture.redact)))
