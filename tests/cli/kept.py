"""Evidence as a command would keep it: it rests on what the upgrade rests on now."""

from dataclasses import replace
from pathlib import Path

from midshift.cli.basis import Holding
from midshift.cli.project import Target
from midshift.cli.state_folder import StateFolder
from midshift.domain.evidence import EvalEvidence
from midshift.domain.upgrade import Upgrade
from midshift.testing import ManualClock


def kept(product: Path, upgrade: Upgrade, evidence: EvalEvidence, state: str = "state") -> Path:
    """Keep an eval of a product's upgrade; gives its file."""
    target, clock = Target(product, store="file:store.txt"), ManualClock()
    with target.open_store() as store:
        basis = Holding(target, store, clock)(upgrade)
    return StateFolder(product / state, clock).write_eval(replace(evidence, basis=basis))
