"""``python -m e91`` is ``e91``."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C while it is loaded ends it in a sentence, too."""
    try:
        from e91.cli import main as run

        run()
    except KeyboardInterrupt:
        print("e91: Interrupted; nothing was written.", file=sys.stderr)  # noqa: T201 - no click yet
        sys.exit(1)


if __name__ == "__main__":
    main()
