"""``python -m tests.fuzzing lines|files|kills COUNT --seed N``: a campaign, and what was wrong."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing", description=__doc__)
    parser.add_argument("kind", choices=["lines", "files", "kills"])
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--jobs", type=int, default=4, help="cases at once")
    parser.add_argument("--log", type=Path, help="a file for wrong cases, one JSON object a line")
    parser.add_argument("--specimens", type=Path, help="a folder for the valid files, kept")
    parser.add_argument("--show", action="store_true", help="print every case")
    return parser.parse_args()


def _maker(kind: str) -> Any:
    from tests.fuzzing.file_cases import FileCases
    from tests.fuzzing.line_cases import LineCases

    return {"lines": LineCases, "files": FileCases}[kind]


def _kill(numbers: range, seed: int, place: Any) -> int:
    from tests.fuzzing.kill_cases import kill

    wrong = kill(numbers, seed=seed, place=place, say=lambda text: print(text, flush=True))
    print(f"{len(numbers):,} kills; {len(wrong):,} wrong.")
    return 1 if wrong else 0


def main() -> int:
    """Run a campaign; return 1 if something was wrong."""
    asked = _parsed()
    # Before NumPy and Aer are loaded: a fork has one thread, and libraries that had more hang.
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    from tests.fuzzing.campaign import Place, campaign
    from tests.fuzzing.forked_runs import import_heavy_modules

    import_heavy_modules()
    with Place(asked.specimens) as place:
        numbers = range(asked.first, asked.first + asked.count)
        if asked.kind == "kills":
            return _kill(numbers, asked.seed, place)
        maker = _maker(asked.kind)(asked.seed, place.specimens)
        tally = campaign(maker, place, numbers=numbers, jobs=asked.jobs, log=asked.log, say=True)
    for wrong in tally.wrong[:50]:
        print(wrong)
    print(tally.text())
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
