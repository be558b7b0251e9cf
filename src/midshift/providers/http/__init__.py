"""The way to other machines over HTTP/1.1: one client for the gateway's hot path, for evals and for queries."""
