"""Judges: models that grade, asked through the same ledger as the answers.

An answer that addresses its judge gains nothing: it stands between marks that it cannot know, its words are data to
the judge, and a verdict is read only from the last line of the judge's own reply. A reply without one of the verdicts
on the menu gives no score: it is neither 0 nor 1, and it is counted.
Elsewhere: the seam (grading), how far a judge is to be believed (`calibration`), graders without a model (graders).
"""

from midshift.evals.judges.pairwise import PairwiseJudge
from midshift.evals.judges.reading import from_suite
from midshift.evals.judges.rubric import RubricJudge

__all__ = ["PairwiseJudge", "RubricJudge", "from_suite"]
