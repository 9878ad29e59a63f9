"""``python -m e91`` is ``e91``."""

from e91.cli import main

main()
