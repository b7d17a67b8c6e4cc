"""``python -m proxy`` is the command ``forecache``."""

from proxy.cli import main

if __name__ == "__main__":
    main()
