"""``python -m midshift``: the same as the ``midshift`` command."""

from midshift.cli.main import main

if __name__ == "__main__":
    main()
