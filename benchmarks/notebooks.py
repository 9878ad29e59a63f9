"""How long notebooks take, and are silent: ``python -m benchmarks.notebooks [NOTEBOOK ...]``.

Runs the code cells of every notebook in a kernel, in an empty folder.  For each it prints the time
of all cells, and the longest stretch without a sign of life: an output, a bar that moves, or the
end of a cell.  A reader begins to doubt after five seconds, so longer stretches are listed with
their cell.  Both are given as time on the clock and as processor time of the kernel, as another
program's load lengthens only the former.  Needs ``pip install 'e91[notebook]'``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

FOLDER = Path(__file__).parents[1] / "notebooks"
PATIENCE_S = 5.0
SIGNS = {"stream", "display_data", "execute_result", "update_display_data", "comm_open", "comm_msg"}


@dataclass(frozen=True)
class Moment:
    """A time at which a reader saw something.

    Attributes:
        clock_s: On the clock.
        processor_s: Of the kernel, and of its processes that have ended.
    """

    clock_s: float
    processor_s: float

    def __sub__(self, earlier: Moment) -> Moment:
        """Return what passed in between."""
        return Moment(self.clock_s - earlier.clock_s, self.processor_s - earlier.processor_s)


def now(kernel: psutil.Process) -> Moment:
    """Return the present time of a kernel."""
    return Moment(time.perf_counter(), sum(kernel.cpu_times()[:4]))


def code_of(notebook: Path) -> list[str]:
    """Return the code cells of a notebook."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def signs(client: BlockingKernelClient, code: str, kernel: psutil.Process) -> list[Moment]:
    """Run a cell and return the moments of its outputs, and that of its end.

    Raises:
        RuntimeError: The cell raises an exception.
    """
    seen = []

    def notice(message: dict[str, Any]) -> None:
        if message["header"]["msg_type"] in SIGNS:
            seen.append(now(kernel))

    reply = client.execute_interactive(code, output_hook=notice, timeout=600)["content"]
    if reply["status"] != "ok":
        raise RuntimeError("\n".join(reply["traceback"]))
    return [*seen, now(kernel)]


def stretches(notebook: Path) -> Iterator[tuple[int, str, Moment]]:
    """Run a notebook; yield the number, the first line and the length of each silent stretch."""
    manager = KernelManager(kernel_name="python3")
    with tempfile.TemporaryDirectory() as folder:
        manager.start_kernel(cwd=folder)
        client = manager.blocking_client()
        try:
            client.start_channels()
            client.wait_for_ready(timeout=120)
            kernel = psutil.Process(manager.provisioner.pid)  # type: ignore[union-attr]
            for number, code in enumerate(code_of(notebook), 1):
                last = now(kernel)
                for moment in signs(client, code, kernel):
                    yield number, code.partition("\n")[0], moment - last
                    last = moment
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)


def report(notebook: Path) -> list[str]:
    """Return a notebook's line, and one for each stretch that is too long."""
    found = list(stretches(notebook))
    total = [sum(getattr(each, of) for _, _, each in found) for of in ("clock_s", "processor_s")]
    worst = [max(getattr(each, of) for _, _, each in found) for of in ("clock_s", "processor_s")]
    lines = [f"{notebook.stem:32} {total[0]:7.1f} {total[1]:9.1f} {worst[0]:9.1f} {worst[1]:9.1f}"]
    return lines + [
        f"    cell {number}: {each.clock_s:.1f} s, {each.processor_s:.1f} s of processor: {line}"
        for number, line, each in found
        if each.clock_s > PATIENCE_S
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path)
    chosen = parser.parse_args().notebooks or sorted(FOLDER.glob("*.ipynb"))
    print(f"{'notebook':32} {'clock s':>7} {'processor':>9} {'silent':>9} {'processor':>9}")
    for notebook in chosen:
        print("\n".join(report(notebook)), flush=True)


if __name__ == "__main__":
    main()
