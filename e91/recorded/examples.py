"""Sample files, made by the simulator, to try the formats with."""

import uuid
from pathlib import Path
from typing import Any

from e91.model.device import Device
from e91.model.messages import Party
from e91.model.randomness import Entropy, operating_system_entropy
from e91.model.settings import Settings
from e91.optics.detectors import BasisChoice, Detector, Receiver
from e91.optics.sources import ContinuousSource
from e91.optics.tags.correlation import correlate
from e91.optics.tags.laboratories import Clock, Laboratory
from e91.optics.tags.simulation import record_time_tags
from e91.recorded.record_files import SEEDED, save_detections, save_time_tags

WINDOW_S = 1e-9
"""Width of the window with which the sample's coincidences were found."""

_DETECTOR = Detector(
    efficiency=0.6,
    dark_counts_per_second=200.0,
    dead_time_s=30e-9,
    afterpulse_probability=0.01,
    jitter_fwhm_s=350e-12,
)
_PAIRS_PER_SECOND = 1e6
_BOBS_CLOCK = Clock(offset_s=0.0123, frequency_error_ppm=3.0, drift_ppm_per_second=0.001)


def sample_laboratories(settings: Settings) -> tuple[Laboratory, Laboratory]:
    """Return two laboratories with passive receivers, 3 dB and 6 dB away from the source."""
    alice = Receiver((_DETECTOR,) * (2 * len(settings.alice_angles)), BasisChoice.PASSIVE)
    bob = Receiver((_DETECTOR,) * (2 * len(settings.bob_angles)), BasisChoice.PASSIVE)
    return (
        Laboratory(alice, settings.alice_probabilities, link_loss_db=3.0),
        Laboratory(
            bob,
            settings.bob_probabilities,
            link_loss_db=6.0,
            delay_s=5e-5,
            clock=_BOBS_CLOCK,
        ),
    )


def save_sample(
    folder: Path | str,
    device: Device,
    *,
    settings: Settings,
    duration_s: float,
    seed: int | None,
    entropy: Entropy = operating_system_entropy,
) -> dict[str, Any]:
    """Write both parties' simulated time tags, and their coincidences as `.npz` and CSV.

    A continuous source of a million pairs a second; 45,000 coincidences a second are left.

    Args:
        folder: An existing folder.
        device: From settings to outcomes of true pairs, with the angles of ``settings``.
        settings: Angles and probabilities; the receivers' beam splitters divide the light so.
        duration_s: For how long the source is on.
        seed: Of the physics, which the files then state; None takes it from the operating system.
        entropy: Random bits for double clicks and for the ``run_id``.

    Returns:
        For each file its name and content hash, and what the correlation found.

    Raises:
        ValueError: A file exists.
        OSError: The disk is full.

    Examples:
        >>> import tempfile
        >>> from e91.devices.exact import exact_device
        >>> from e91.model.settings import EKERT
        >>> device = exact_device(seed=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     found = save_sample(folder, device, settings=EKERT, duration_s=0.01, seed=1)
        >>> sorted(found["files"])
        ['alice_tags.npz', 'bob_tags.npz', 'detections.csv', 'detections.npz']
    """
    folder = Path(folder)
    alice, bob = sample_laboratories(settings)
    tags = record_time_tags(
        ContinuousSource(_PAIRS_PER_SECOND, coherence_time_s=1e-12),
        alice,
        bob,
        device=device,
        duration_s=duration_s,
        seed=seed,
    )
    found = correlate(*tags, window_s=WINDOW_S, dead_time_s=_DETECTOR.dead_time_s, entropy=entropy)
    known = {
        "run_id": str(uuid.UUID(bytes=entropy(16), version=4)),
        "settings": settings.name,
        "origin": "simulated time tags" + ("" if seed is None else f", seed {seed}"),
        **({} if seed is None else {SEEDED: True}),
    }
    written = {}
    for party, side in zip(Party, tags, strict=True):
        file = folder / f"{party.value}_tags.npz"
        written[file.name] = save_time_tags(file, side, party=party, metadata=known)
    for name in ("detections.npz", "detections.csv"):
        written[name] = save_detections(folder / name, found.record, metadata=known)
    return {"files": written, "coincidences": found.statistics.to_dict()}
