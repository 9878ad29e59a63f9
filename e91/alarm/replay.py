"""The rounds of a block drawn again, as a run keeps only their counts."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from e91.distillation.sifting.by_block import CodeTable
from e91.distillation.sifting.packing import DISCARD
from e91.distillation.sifting.samples import draw_sample
from e91.model.bits import NO_CLICK, Bits
from e91.model.device import DeviceInfo, info_of
from e91.model.settings import Settings
from e91.session.streaming import PART_ROUNDS, BlockSource, source_of


@dataclass(frozen=True, eq=False)
class Replay:
    """A device that draws by the block and can draw a block of its run again.

    For the run it behaves as `device` does, as fast.

    Attributes:
        device: One that `e91.stream` takes.
        block_rounds: Rounds of every block of the run but the last.
        sources: What the device was asked for; the last one is the run's.
    """

    device: Any
    block_rounds: int
    sources: list[BlockSource] = field(default_factory=list, repr=False)

    @property
    def info(self) -> DeviceInfo:
        """What the device is."""
        return info_of(self.device)

    def sampler(self, settings: Settings, *, protocol_key: bytes) -> BlockSource:
        """Return the device's own source of blocks, and remember it.

        Raises:
            ValueError: The device draws no blocks, or not with these settings.
        """
        source = source_of(self.device, settings, protocol_key=protocol_key)
        self.sources.append(source)
        return source

    def announced(
        self, block: int, *, rounds: int, table: CodeTable, fraction: float
    ) -> tuple[Bits, NDArray[np.int64]]:
        """Return the codes of the announced rounds of a block, and their indices.

        Those are the Bell tests and the revealed key rounds, in the order of time.

        Args:
            block: Number of the block, from 0.
            rounds: Rounds of this block.
            table: What the codes mean.
            fraction: Probability that a key round is revealed.

        Returns:
            Codes, uint8, and indices of their rounds in the block, int64; shape (n,) each.

        Raises:
            ValueError: No run has asked for this device.
        """
        if not self.sources:
            raise ValueError("A replay must have been run, but has not.")
        starts = range(0, rounds, PART_ROUNDS)
        first = block * -(-self.block_rounds // PART_ROUNDS)
        parts = [
            self._part(first + index, min(PART_ROUNDS, rounds - start), table, fraction)
            for index, start in enumerate(starts)
        ]
        codes = [part[0] for part in parts]
        numbers = [part[1] + start for part, start in zip(parts, starts, strict=True)]
        return np.concatenate(codes), np.concatenate(numbers)

    def _part(
        self, number: int, size: int, table: CodeTable, fraction: float
    ) -> tuple[Bits, NDArray[np.intp]]:
        source, codes = self.sources[-1], np.empty(size, np.uint8)
        source.fill(codes, block=number)
        sample = draw_sample(source.sample_entropy(number), fraction=fraction, rounds=size)
        shown = np.unpackbits(sample, count=size).view(np.bool_)
        rounds = np.flatnonzero(_is_test(table)[codes] | shown & (table.roles[codes] != DISCARD))
        return codes[rounds], rounds


def _is_test(table: CodeTable) -> NDArray[np.bool_]:
    """Return whether each code is a Bell test that counts; bool, shape (256,)."""
    found, tests = np.zeros(256, np.bool_), {pair for pair, _ in table.settings.chsh_pairs}
    for code, (x, y, a, b) in enumerate(np.ndindex(*table.shape)):
        found[code] = (x, y) in tests and (table.assign_lost or NO_CLICK not in (a, b))
    return found
