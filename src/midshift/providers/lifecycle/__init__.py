"""Who says when a model shuts down: the vendors' own endpoints, then what is bundled, then nobody.

radar      asks and falls back           settle     who is believed, and what is said about the rest
vendors    which vendor is asked how     answers    what a vendor can say
openai, anthropic, bedrock, mistral, gemini, openrouter, fireworks     one vendor each: request and reader
collected  dates that the catalogue lacks           notice     how early a vendor promises to announce
sigv4      a signature for AWS

Elsewhere: whether a date fits a plan (domain.retirement), prices and limits (catalogue).
"""
