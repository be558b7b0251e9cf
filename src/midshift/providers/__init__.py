"""What midshift knows about those who serve models: prices, pins, lifecycles, capabilities, addresses.

Knowledge is data with a source and a date; code only reads it. Nothing here decides about traffic.
"""
