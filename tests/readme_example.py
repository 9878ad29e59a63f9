"""Run the README's Python example and compare what it prints with what the README shows."""

import contextlib
import io
import re
import sys
from pathlib import Path


def main() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    code = re.search(r"^```python\n(import e91.*?)^```", text, re.MULTILINE | re.DOTALL)
    shown = re.search(r"^```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    if code is None or shown is None:
        sys.exit("README.md must have a python block and a text block, but one is missing.")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code[1], "README.md", "exec"), {})
    if printed.getvalue() != shown[1]:
        sys.exit(f"The README must show\n{printed.getvalue()}but shows\n{shown[1]}")
    print("The README shows what its example prints.")


if __name__ == "__main__":
    main()
