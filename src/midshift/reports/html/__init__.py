"""A comparison as one self-contained page: the decision first, then why, then what else changed.

Decides what is drawn and where. Promises: no script, no address outside the file, foreign text only as text, and the
same bytes for the same comparison. A file of very many slices is drawn in part, and the page says which part.
Modules: `page` (all of it), `verdicts` and `drift` (its parts), `axes` (scales), `naming` (names and chances).
Elsewhere: wording (reports.words), harmless text (reports.text), layout and colour (the files in `templates/`).
"""

from midshift.reports.html.drift import SLICES_OF_DRIFT
from midshift.reports.html.page import render
from midshift.reports.html.verdicts import SLICES_DRAWN

__all__ = ["SLICES_DRAWN", "SLICES_OF_DRIFT", "render"]
