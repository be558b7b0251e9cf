"""Change the LLM behind a running product without its users noticing.

A model upgrade as a controlled substitution in five stages: a regression eval with a gate per slice,
re-tuning of the prompt, shadow traffic, a gated canary, and a soak that one flip undoes.
Contract: the names in ``__all__`` are the public API; everything else may change between releases.
Elsewhere: commands (cli), arithmetic (stats), what an upgrade is (domain).
"""

__all__ = ["__version__"]

__version__ = "0.1.0.dev0"
