"""The order of the protocol is a matter of types: mypy refuses a program that skips a step."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PREAMBLE = """\
from e91.distillation.amplification.hashing import amplify
from e91.distillation.verification import announce
from e91.encryption import KeyStore
from e91.model.bits import Bits
from e91.model.messages import Party
from e91.model.records import *
def program(sifted: SiftedKey, reconciled: ReconciledKey, verified: VerifiedKey,
            chsh: ChshEstimate, length: SecretLength, release: Release, seed: Bits) -> None:
"""
RIGHT = ["amplify(verified, release, seed)", "announce(reconciled, b'')"]
SKIPPING = [
    "amplify(sifted, release, seed)",
    "amplify(reconciled, release, seed)",
    "amplify(verified, chsh, seed)",
    "amplify(verified, length, seed)",
    "announce(sifted, b'')",
    "KeyStore(verified, Party.ALICE)",
]


def refused(folder):
    """Return the statements in which mypy finds a wrong argument."""
    program = folder / "program.py"
    program.write_text(PREAMBLE + "".join(f"    {line}\n" for line in [*RIGHT, *SKIPPING]))
    # With the cache of the checks, which then need not read the package again.
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), str(program)],
        cwd=ROOT, env=os.environ | {"MYPYPATH": f"{ROOT}:{ROOT / 'circuits'}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = program.read_text().splitlines()
    errors = [line for line in result.stdout.splitlines() if "[arg-type]" in line]
    return {lines[int(error.split(":")[1]) - 1].strip() for error in errors}


def test_mypy_accepts_the_whole_chain_and_refuses_every_program_that_skips_a_step(tmp_path):
    assert refused(tmp_path) == set(SKIPPING)
