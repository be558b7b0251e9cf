"""Buying answers from models off the request path: within limits, under a cap, and each of them once.

pace      requests and tokens a minute, as reservations in time
refusals  what an answer that is no 200 speaks of: the request, whoever asks, or nothing
backoff   whether and when to ask again, from what the provider said
budget    the cap: what is spent, what is held for calls under way
desk      one provider: a request within its limits, asked again where that is safe
listening a stream as it comes: its first token, and what it said
journal   many entries of the ledger to one commit, for coroutines
buyer     one key: look it up, intend, ask, price, settle
"""
