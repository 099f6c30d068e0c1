"""The door of the project: the command `crisis`."""

from __future__ import annotations

import crisis_guard  # noqa: F401  before anything of ours is imported


def main() -> None:
    """The command line."""
    from pipeline.__main__ import main

    main()


if __name__ == "__main__":
    main()
