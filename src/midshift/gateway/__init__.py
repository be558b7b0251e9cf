"""The data plane: serves each workload from one of two variants, mirrors requests, and leaves a record.

Decides nothing about an upgrade. It follows the routing rows, and goes home to the incumbent by itself when it has
not heard from anybody for too long; the path of a request waits for no store, no file and no thread.

settings    what the composition root passes in
front       a connection of an app: HTTP/1.1 with its limits
exchange    one request on it, and its answer
app         paths, keys, counters, answers of its own
route       the routing rows as a snapshot, and every rule that sends traffic home
relay       one request to one variant and back; the fall-back to the incumbent
mirror      the answer that nobody sees
pools       the connections to providers
recorder    exposures, pairs and sums on their way out
admin       the port that only flips towards the incumbent
server      listening, draining

Elsewhere: what a variant changes (domain.rendering), bytes and events (wire), who decides (controller).
"""
