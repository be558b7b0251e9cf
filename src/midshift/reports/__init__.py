"""Verdicts and drift as people and machines read them. Nothing is measured here, and all foreign text is shown as text.

comparison  what a comparison found, and its JSON form `midshift.compare/1`
words       numbers, ranges and decisions in words
text        makes hostile text harmless
terminal    tables for a terminal
html        one self-contained page
"""
