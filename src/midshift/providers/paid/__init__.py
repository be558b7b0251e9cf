"""Buying answers from models off the request path: within limits, under a cap, and each of them once.

pace      requests and tokens a minute, as reservations in time
backoff   whether and when to ask again, from what the provider said
budget    the cap: what is spent, what is held for calls under way
desk      one provider: a request within its limits, asked again where that is safe
journal   many entries of the ledger to one commit, for coroutines
buyer     one key: look it up, intend, ask, price, settle
"""
