"""Stage two: the candidate gets a fair chance, with a prompt of its own, before anybody calls it worse.

splits      tune, select and locked cases: by slice, clusters whole      prompts     what of a variant is tuned
reflecting  what the reflection model is told, and reading its reply     copying     prompts that are refused
measuring   scores by slice, floors, intervals                           selecting   which prompt, if any
adapter     the seam to GEPA                                             search      the loop: waits, buys, ends
gating      the verdict on the locked cases                              edits       what was done, as records
diagnosing  the four reasons why a prompt stops to work                  stale       what the incumbent left behind
log, post   records as Markdown

Elsewhere: paid calls (providers.paid), graders (evals), files and commands (cli.retune).
"""
