"""A progress bar around a device, for people who wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from tqdm import tqdm

from e91.model.bits import Bits
from e91.model.device import Device, DeviceInfo, info_of

_BLOCK = 1 << 20


@dataclass(frozen=True, eq=False)
class _Watched:
    """A device that measures in blocks and shows how far it is."""

    device: Device
    rounds: int

    @property
    def info(self) -> DeviceInfo:
        return info_of(self.device)

    def __call__(self, x: Bits, y: Bits) -> tuple[Bits, Bits]:
        a, b = np.empty_like(x), np.empty_like(y)
        # Standard error, only on a terminal (disable=None), only after two seconds.
        with tqdm(total=self.rounds, unit=" pairs", unit_scale=True, delay=2, disable=None) as bar:
            for start in range(0, len(x), _BLOCK):
                part = slice(start, start + _BLOCK)
                a[part], b[part] = self.device(x[part], y[part])
                bar.update(len(x[part]))
        return a, b


def with_progress(device: Device, rounds: int) -> _Watched:
    """Return ``device`` with a progress bar on standard error when it runs longer than 2 s."""
    return _Watched(device, rounds)


def rounds_bar(rounds: int) -> tqdm[NoReturn]:
    """Return a progress bar of a run of blocks; on standard error, if it takes longer than 2 s."""
    return tqdm(total=rounds, unit=" pairs", unit_scale=True, delay=2, disable=None)
