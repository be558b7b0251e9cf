"""Where upgrades stand: the tree upgrade → stage → step → gate, each line with its deciding sentence."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from midshift.domain.move import COLLECT_MORE, Answer, Gate, Move
from midshift.domain.routing import Route
from midshift.domain.upgrade import CANARY_PINS, Stage, Upgrade
from midshift.reports.text import visible
from midshift.reports.upgrade_log import Entry

FORMAT = "midshift.status/1"
_GLYPHS = {
    Answer.OPEN: ("✔", "green"),
    Answer.UNPROVEN: ("?", "yellow"),
    Answer.WAIVED: ("⚠", "yellow"),
    Answer.WAITING: ("◌", "yellow"),
    Answer.SHUT: ("✖", "bold red"),
}
_WAY = (Stage.EVAL, Stage.SHADOW, Stage.CANARY, Stage.SOAK, Stage.DONE)
_DETOURS = {Stage.RETUNE: Stage.EVAL, Stage.HALTED: Stage.CANARY}
_CUT_SHORT = (Stage.STOPPED, Stage.ROLLED_BACK)
_MOST_COMMANDS = 6


@dataclass(frozen=True, slots=True)
class Position:
    """One upgrade as it stands, with what it would do next and what every gate says.

    `home_name` is the variant that a rollback would lead to now. `ending` is what took the candidate away, if that is
    how it stands.
    """

    upgrade: Upgrade
    route: Route | None
    move: Move
    incumbent_name: str
    candidate_name: str
    now: datetime
    home_name: str = ""
    harbour_name: str | None = None
    ending: Entry | None = None

    @property
    def reached(self) -> Upgrade:
        """The upgrade as it was in the stage that it reached last: where it ended early, before it did."""
        return self.ending.before if self.upgrade.stage in _CUT_SHORT and self.ending is not None else self.upgrade


def render(positions: Sequence[Position]) -> RenderableType:
    """All upgrades as trees."""
    if not positions:
        return Text("no upgrade. Type next: midshift upgrade start WORKLOAD --to VARIANT_FILE")
    return Group(*(_tree(position) for position in positions))


def document(positions: Sequence[Position]) -> dict[str, Any]:
    """The same as plain values."""
    return {"format": FORMAT, "upgrades": [_record(position) for position in positions]}


def _tree(position: Position) -> Tree:
    upgrade = position.upgrade
    title = f"{visible(upgrade.workload)}: {visible(position.incumbent_name)} → {visible(position.candidate_name)}"
    root = Tree(Text.assemble((title, "bold"), f"  {upgrade.id}"), guide_style="dim")
    if upgrade.paused:
        root.add(Text("⚠ paused: nothing advances until it is resumed; proven harm still stops it", "yellow"))
    before = position.reached
    reached = _DETOURS.get(before.stage, before.stage)
    for stage in _WAY:
        branch = root.add(_stage_line(stage, reached, upgrade))
        if stage is reached and upgrade.stage not in _CUT_SHORT:
            _add_now(branch, position)
        if stage is Stage.CANARY and reached in (Stage.CANARY, Stage.SOAK, Stage.DONE):
            for index, step in enumerate(upgrade.plan.steps[:-1]):
                branch.add(_step_line(index, f"{step.share:.0%}", before, upgrade.stage in (*_CUT_SHORT, Stage.HALTED)))
    if (ended := _ended(position)) is not None:
        root.add(Text(ended, "bold red"))
    for line in _forced_lines(position):
        root.add(Text(line, "bold red"))
    style = "yellow" if upgrade.forced is None else "bold red"
    for waiver in upgrade.waivers:
        root.add(Text(f"⚠ waived {visible(waiver.what)} by {visible(waiver.who)}: {visible(waiver.why)}", style))
    return root


def _forced_lines(position: Position) -> list[str]:
    forced = position.upgrade.forced
    if forced is None:
        return []
    lines = [
        f"⚠ FORCED by {visible(forced.who)}: {visible(forced.why, 300)}",
        f"⚠ the incumbent retires on {forced.retires_on} ({visible(forced.stated_by)})",
    ]
    if position.upgrade.stage.is_final:
        return lines
    harbour = f"the safe harbour {visible(position.harbour_name or forced.safe_harbour[:12])}"
    if position.upgrade.sheltered or forced.is_due(position.now):
        return [*lines, f"⚠ rollback leads to {harbour}: the incumbent is past its retirement"]
    home = f"the incumbent {visible(position.incumbent_name)}"
    return [*lines, f"⚠ rollback leads to {home}, and from {forced.retires_on} on to {harbour}"]


def _ended(position: Position) -> str | None:
    """Who took the candidate away, and why."""
    upgrade, ending = position.upgrade, position.ending
    if upgrade.stage not in (*_CUT_SHORT, Stage.HALTED):
        return None
    said = f"✖ {upgrade.stage.value.replace('_', ' ')} on {upgrade.entered:%Y-%m-%d %H:%M}"
    if ending is None:
        return said
    event = ending.logged.event
    return f"{said} by {visible(event.who)}: {visible(event.why, 1000)}"


def _stage_line(stage: Stage, reached: Stage, upgrade: Upgrade) -> Text:
    if upgrade.stage in _CUT_SHORT and reached in _CUT_SHORT:
        return Text(f"· {stage.value}", "dim")
    if stage is reached and upgrade.stage in (*_DETOURS, *_CUT_SHORT):
        return Text(f"✖ {stage.value}: {upgrade.stage.value.replace('_', ' ')}", "bold red")
    if stage is reached and stage is not Stage.DONE:
        return Text(f"▶ {stage.value}", "bold")
    if _WAY.index(stage) <= _WAY.index(reached):
        return Text(f"✔ {stage.value}", "green")
    return Text(f"· {stage.value}", "dim")


def _step_line(index: int, share: str, upgrade: Upgrade, is_over: bool) -> Text:
    if upgrade.stage in (Stage.SOAK, Stage.DONE) or index < upgrade.step:
        return Text(f"✔ {share}", "green")
    if index == upgrade.step:
        return Text(f"✖ {share}", "bold red") if is_over else Text(f"▶ {share}", "bold")
    return Text(f"· {share}", "dim")


def _add_now(branch: Tree, position: Position) -> None:
    move = position.move
    for gate in move.gates:
        branch.add(_gate_line(gate))
    if move.kind is not None:
        branch.add(Text(f"now: {move.kind.value.replace('_', ' ')}: {visible(move.reason, 1000)}"))
        return
    waiting = [visible(gate.name) for gate in move.gates if not gate.lets_pass]
    said = f"waits for {', '.join(waiting)}" if waiting else visible(move.reason, 1000)
    branch.add(Text(f"next: {COLLECT_MORE if move.reason.startswith(COLLECT_MORE) else said}"))
    commands = to_type(position)
    for command in commands[:_MOST_COMMANDS]:
        branch.add(Text(f"type: {command}", "bold", overflow="fold"))
    if len(commands) > _MOST_COMMANDS:
        branch.add(Text(f"      and {len(commands) - _MOST_COMMANDS} more: each waiting line above names its own"))


def to_type(position: Position) -> list[str]:
    """What a person can type now, for each gate that waits for one."""
    upgrade = position.upgrade
    if position.move.reason.startswith(COLLECT_MORE):
        return [f"midshift suite check {upgrade.workload}", f"midshift upgrade eval {upgrade.workload}"]
    if upgrade.stage is Stage.HALTED:
        return [f"midshift upgrade resume {upgrade.workload}", f"midshift rollback {upgrade.workload}"]
    found = (_command(upgrade, gate) for gate in position.move.gates if gate.answer is Answer.WAITING)
    return [command for command in dict.fromkeys(found) if command is not None]


def _command(upgrade: Upgrade, gate: Gate) -> str | None:
    """What opens a gate that waits for a person; None where it waits for time or for traffic."""
    workload, (kind, _, name) = upgrade.workload, gate.name.partition(" ")
    if gate.name == "eval":
        return f"midshift upgrade eval {workload}"
    if gate.name == "retune":
        return f'midshift upgrade candidate {workload} --to VARIANT_FILE --why "..."'
    if kind == "approval":
        return f"midshift upgrade approve {workload} {shlex.quote(visible(name))}"
    waived = {"slice": name, "eval": name, "drift": f"drift:{name}", "budget": f"budget:{name}", "pins": CANARY_PINS}
    if kind not in waived:
        return None
    return f'midshift upgrade waive {workload} {shlex.quote(visible(waived[kind]))} --why "..."'


def _gate_line(gate: Gate) -> Text:
    glyph, style = _GLYPHS[gate.answer]
    return Text.assemble((f"{glyph} {visible(gate.name)}", style), f"  {visible(gate.reason, 1000)}")


def _record(position: Position) -> dict[str, Any]:
    upgrade, route = position.upgrade, position.route
    return {
        "id": upgrade.id,
        "workload": upgrade.workload,
        "stage": upgrade.stage.value,
        "step": upgrade.step,
        "share": upgrade.share,
        "serving_share": None if route is None else route.share,
        "epoch": None if route is None else route.epoch,
        "entered": upgrade.entered.isoformat(),
        "now": position.now.isoformat(),
        "paused": upgrade.paused,
        "incumbent": {"id": upgrade.incumbent, "name": position.incumbent_name},
        "candidate": {"id": upgrade.candidate, "name": position.candidate_name},
        "waivers": [{"what": waiver.what, "who": waiver.who, "why": waiver.why} for waiver in upgrade.waivers],
        "approvals": list(upgrade.approvals),
        "forced": _forced(position),
        "rollback_to": None if upgrade.stage.is_final else _rollback_to(position),
        "next": None if position.move.kind is None else position.move.kind.value,
        "reason": position.move.reason,
        "type_next": to_type(position),
        "reached": {"stage": position.reached.stage.value, "step": position.reached.step},
        "ended": _ended_record(position.ending),
        "gates": [
            {"name": gate.name, "answer": gate.answer.value, "reason": gate.reason} for gate in position.move.gates
        ],
    }


def _ended_record(ending: Entry | None) -> dict[str, Any] | None:
    """Who took the candidate away, when and why; None while nobody has."""
    if ending is None:
        return None
    event = ending.logged.event
    return {"kind": event.kind.value, "at": event.at.isoformat(), "who": event.who, "why": event.why}


def _forced(position: Position) -> dict[str, Any] | None:
    forced = position.upgrade.forced
    if forced is None:
        return None
    return {
        "who": forced.who,
        "why": forced.why,
        "incumbent_retires_on": forced.retires_on.isoformat(),
        "source": forced.source.value,
        "origin": forced.origin,
        "as_of": forced.as_of and forced.as_of.isoformat(),
        "safe_harbour": {
            "id": forced.safe_harbour,
            "name": position.harbour_name,
            "retirement": forced.harbour_says,
            "serves": position.upgrade.sheltered,
        },
    }


def _rollback_to(position: Position) -> dict[str, Any]:
    upgrade = position.upgrade
    home = upgrade.home_at(position.now)
    role = "incumbent" if home == upgrade.incumbent else "safe_harbour"
    return {"id": home, "name": position.home_name, "role": role}
