"""What midshift talks about, as values: variants, workloads, cases, scores, verdicts, decisions.

Frozen dataclasses and pure functions over them. Nothing here reads a file, a clock or a vendor's name.
"""
