"""Whose word counts about the margin of a slice: the workload's, and else the suite's."""

from midshift.cli.choosing import own_margins
from midshift.domain.suite import Margin, Slice
from midshift.domain.variant import Variant
from midshift.domain.workload import Workload
from midshift.evals.suite_file import SliceNote, Suite


def test_the_workloads_word_counts_and_else_the_suites() -> None:
    """One name, one margin, in the eval, in `suite check` and in a re-tuning."""
    slices = (Slice("german", margin=Margin(4.0)), Slice("everyday"), Slice("thin"))
    workload = Workload("w", ("old",), Variant("sim", "old"), slices)
    notes = {"german": SliceNote(margin=Margin(9.0)), "everyday": SliceNote(margin=Margin(3.0)), "thin": SliceNote()}

    assert {"everyday": Margin(3.0), "german": Margin(4.0)} == own_margins(workload, Suite("s", (), (), notes))
