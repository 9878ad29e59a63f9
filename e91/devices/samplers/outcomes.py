"""The outcome bits in a sampler's result, checked: complete, and not those of the run before."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from e91.model.bits import Bits

_TELLING = 64
"""Both outcomes so often in a setting pair: chance repeats their order once in 2**124 runs."""


def outcome_bits(data: Any, *, pairs: int, shots: int) -> tuple[Bits, Bits]:
    """Return both parties' bits of one PUB.

    Args:
        data: The ``data`` of a PUB's result, with the registers `alice` and `bob`.
        pairs: Number of bindings.
        shots: Shots that were asked of each; further ones are dropped.

    Returns:
        uint8, shape (pairs, shots) each.

    Raises:
        ValueError: A register is missing or has not one bit, shots are missing, or the shape is
            not that of the bindings.

    Examples:
        >>> from qiskit.primitives import BitArray, DataBin
        >>> bits = BitArray(np.zeros((1, 3, 1), np.uint8), 1)
        >>> alice, bob = outcome_bits(DataBin(alice=bits, bob=bits, shape=(1,)), pairs=1, shots=2)
        >>> alice.tolist()
        [[0, 0]]
    """
    alice, bob = (_register(data, name, pairs=pairs, shots=shots) for name in ("alice", "bob"))
    return alice, bob


def _register(data: Any, name: str, *, pairs: int, shots: int) -> Bits:
    found = sorted(data.keys()) if hasattr(data, "keys") else sorted(vars(data))
    if name not in found:
        raise ValueError(
            "A sampler must return the classical registers `alice` and `bob`, but returned "
            f"{found}."
        )
    bits = getattr(data, name)
    if getattr(bits, "num_bits", None) != 1:
        what = getattr(bits, "num_bits", f"a {type(bits).__name__} and no")
        raise ValueError(f"The register `{name}` must hold one bit a shot, but holds {what} bits.")
    array = np.asarray(bits.array, np.uint8)
    if pairs == 1 and array.ndim == 2:  # a circuit without parameters has no bindings to index
        array = array[None]
    if array.shape[:-2] != (pairs,):
        raise ValueError(
            f"The register `{name}` must have an entry for each of {pairs} setting pairs, but has "
            f"shape {array.shape[:-2]}."
        )
    if array.shape[-2] < shots:
        raise ValueError(
            f"A sampler must return {shots} shots of each setting pair, but returned "
            f"{array.shape[-2]} in `{name}`."
        )
    if array.size and array.max() > 1:
        raise ValueError(f"The register `{name}` must hold bits, but holds {array.max()}.")
    return array[:, :shots, 0]


@dataclass(eq=False)
class RepeatGuard:
    """Remembers the last run of a sampler and refuses the same outcomes again.

    It sees a sampler that re-uses its seed; whether runs are independent in every other way is
    for `e91.devices.samplers.conformance.suite` to test.

    Attributes:
        last: For each group of setting pairs, the first outcomes of its last run.
    """

    last: dict[tuple[tuple[int, int], ...], tuple[Bits, Bits]] = field(default_factory=dict)

    def check(self, alice: Bits, bob: Bits, *, pairs: tuple[tuple[int, int], ...]) -> None:
        """Compare a run with the last one of the same setting pairs, over their common length.

        Runs whose outcomes hardly vary tell nothing and pass: a source may be certain.

        Args:
            alice: Outcomes, shape (pairs, shots).
            bob: The same.
            pairs: Which setting pairs these are.

        Raises:
            ValueError: All outcomes are those of the last run.

        Examples:
            >>> guard, bits = RepeatGuard(), np.arange(200, dtype=np.uint8)[None] % 2
            >>> guard.check(bits, bits, pairs=((0, 0),))
            >>> guard.check(bits[:, ::-1], bits, pairs=((0, 0),))
            >>> guard.check(bits[:, ::-1], bits, pairs=((0, 0),))
            Traceback (most recent call last):
            ...
            ValueError: A sampler must give new outcomes at every run, but gave those of ...
        """
        kept = (alice[:, :_KEPT].copy(), bob[:, :_KEPT].copy())
        before, self.last[pairs] = self.last.get(pairs), kept
        if before is None:
            return
        common = min(kept[0].shape[1], before[0].shape[1])
        now, then = ([party[:, :common] for party in run] for run in (kept, before))
        same = all(np.array_equal(p, q) for p, q in zip(now, then, strict=True))
        ones = now[0].sum(axis=1)
        if same and np.minimum(ones, common - ones).max(initial=0) >= _TELLING:
            raise ValueError(
                "A sampler must give new outcomes at every run, but gave those of the last run "
                "again: it re-uses its seed.  Give a function from a seed to a sampler, such "
                "as `lambda seed: SamplerV2(seed=seed)`, or a sampler without a seed."
            )


_KEPT = 1024  # outcomes a setting pair: enough to tell, little to keep
