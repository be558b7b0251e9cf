"""The price book: what a model cost at a provider at a moment, who says so, and what of it is kept with each run.

Modules: `book` (the order of sources), `own` (prices that users write), `listed` (the catalogue), `genai` (the package
genai-prices), `deferred` (one of them, loaded when it is first asked), `pinned` (what was used, as plain JSON, and
costs under another book), `pricing` (for a gateway).
Only `genai` imports the package that it reads, and nothing else here imports `genai`: whoever builds a book does.
Elsewhere: what a price is and what a call costs (`domain.cost`); what a call used (`wire.usage`).
"""
