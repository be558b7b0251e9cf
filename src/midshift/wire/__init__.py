"""Bytes to meaning and back, for each wire format that midshift speaks.

Sans-I/O: functions and small machines that are fed bytes. However the bytes are cut into chunks, the same events come
out. What nobody asked about passes through byte for byte; what a vendor did not report stays None.
Elsewhere: sockets (midshift.gateway), which variant is asked (midshift.domain.routing).
"""
