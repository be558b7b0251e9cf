"""The command line: parses, opens files, wires rooms together, prints. The composition root, and no logic."""
