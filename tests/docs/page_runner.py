"""Runs the blocks of a page as a reader would: files, commands and Python, in their order."""

import contextlib
import doctest
import io
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<language>\S+)(?P<argument>[^\n]*)\n(?P<body>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
LIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass
class PageRunner:
    """What the blocks of one page have done so far.

    A ``bash`` block is run line by line: ``e91`` is this package, anything else is left out, as
    installing and servers are tested elsewhere.  A ``python`` block continues the earlier ones.
    A ``toml`` or ``csv`` block whose first line is a file's name becomes that file.  A ``text``
    block right behind a block that was run shows its output; an ellipsis stands for anything.  What
    needs an account or somebody else's server is a ``{code-block}``, and is not run.
    """

    folder: Path
    names: dict[str, object] = field(default_factory=lambda: {"__name__": "__main__"})
    printed: str | None = None

    def run(self, page: Path) -> list[str]:
        """Run every block of a page and return what differs from what it shows."""
        text = page.read_text(encoding="utf-8")
        wrong, end = [], 0
        for block in BLOCK.finditer(text):
            follows = not text[end : block.start()].strip()
            end = block.end()
            wrong += self._run(block, follows=follows)
        return wrong

    def _run(self, block: re.Match[str], *, follows: bool) -> list[str]:
        language, body = block["language"], block["body"]
        match language:
            case "python":
                self.printed = self._python(body)
            case "bash":
                self.printed = "".join(self._command(line) for line in commands(body))
            case "toml" | "csv":
                self._write(body)
            case "text" if follows and self.printed is not None:
                printed, self.printed = self.printed, None
                return compared(body, printed)
        if language == "text":
            self.printed = None
        return []

    def _python(self, code: str) -> str:
        printed = io.StringIO()
        if code.startswith(">>>"):
            parsed = doctest.DocTestParser().get_doctest(code, self.names, "page", None, 0)
            runner = doctest.DocTestRunner(optionflags=LIKE)
            with contextlib.chdir(self.folder):
                assert runner.run(parsed, clear_globs=False).failed == 0, code
            self.names |= parsed.globs
            return ""
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(printed):
            exec(compile(code, "page", "exec"), self.names)
        return printed.getvalue()

    def _command(self, line: str) -> str:
        program = f"{shlex.quote(sys.executable)} -m e91"
        ended = subprocess.run(
            re.sub(r"(?:^|(?<=\| ))e91\b", lambda _: program, line),
            shell=True, cwd=self.folder, capture_output=True, text=True, check=False,
            env=os.environ | {"COLUMNS": "80"}, executable="/bin/bash",
        )  # fmt: skip
        assert ended.returncode in (0, 3), f"{line}\n{ended.stderr}"
        return ended.stdout + ended.stderr * (ended.returncode == 3)

    def _write(self, body: str) -> None:
        if name := re.match(r"# (\S+\.(?:toml|csv))\n", body):
            (self.folder / name[1]).write_text(body, encoding="utf-8")


def commands(body: str) -> list[str]:
    """Return the commands of a block that are run: those of ``e91`` and what they are fed with."""
    lines = re.sub(r"\\\n\s*", " ", body).splitlines()
    return [line for line in lines if re.match(r"(e91|echo) ", line)]


def compared(shown: str, printed: str) -> list[str]:
    """Return what a page shows and what was printed, if they differ."""
    if doctest.OutputChecker().check_output(shown, printed, LIKE):
        return []
    return [f"shown:\n{shown}\nprinted:\n{printed}"]
