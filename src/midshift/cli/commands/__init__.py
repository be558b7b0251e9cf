"""What can be typed, by what it is about: arguments and options with their help, and nothing else.

A command reads what was typed and hands it to a module of `cli`, which it loads only then: whoever asks for help
waits for none of them.

options     arguments and options that several commands share
comparing   comparisons of answers that are there, and the demo
product     the files of a product, and what is in force
facts       models, prices, retirements, requests: known before a token is spent
evidence    evals, re-tuning, judges
upgrades    one upgrade
suites      suites
processes   controller and gateway
"""
