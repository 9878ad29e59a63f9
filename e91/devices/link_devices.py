"""Devices of whole links: source, arms and detectors by their numbers, and what they count.

The numbers are those of a link's file (`e91.optics.link_files`).
"""

from dataclasses import replace

from e91_circuits import bell_pair, with_visibility
from qiskit import QuantumCircuit

from e91.devices.exact import ExactDevice
from e91.devices.optical import optical_device, optical_slot_device, pair_with_errors
from e91.model.settings import EKERT, Settings
from e91.optics.coincidences import Coincidences, coincidences
from e91.optics.link_files import LinkNumbers, PairState, arms_of, source_of, window_of


def link_device(
    link: LinkNumbers, *, settings: Settings = EKERT, slots: bool = False, seed: int | None = None
) -> ExactDevice:
    """Return the device that a link is, which says how fast it makes rounds.

    Args:
        link: Its numbers, e.g. from `e91.optics.read_link`.
        settings: The angles of both parties; both turn their analysers actively.
        slots: Whether every pulse or time slot is a round, as claims without trust in the devices
            want; else coincidences are, which is sound only under fair sampling.
        seed: Root of the physical randomness; None takes it from the operating system.

    Returns:
        The device; ``info.pace`` says how fast it makes rounds.

    Raises:
        ValueError: A number that the link needs is missing, or nothing ever coincides.

    Examples:
        >>> from e91.optics.link_files import Detection, SideNumbers, SourceNumbers
        >>> side = SideNumbers(loss_db=32.0, dark_counts_per_second=200.0)
        >>> device = link_device(LinkNumbers(
        ...     source=SourceNumbers(pairs_per_second=5.9e6), alice=side, bob=side,
        ...     detection=Detection(coincidence_window_s=1e-9)))
        >>> round(device.info.pace.coincidences_per_second, 3)
        2.364
    """
    source, (alice, bob), window_s = source_of(link), arms_of(link), window_of(link)
    make = optical_slot_device if slots else optical_device
    pair = pair_of(link.state, settings)
    device = make(source, alice, bob, settings=settings, pair=pair, window_s=window_s, seed=seed)
    description = f"{device.description.rstrip('.')}; {_described(link)}."
    return replace(device, info=replace(device.info, description=description))


def _described(link: LinkNumbers) -> str:
    """Return the losses, detectors and window of a link, and what is counted behind them."""
    found, window_ns = counted(link), window_of(link) * 1e9
    losses = " and ".join(f"{arm.loss_db:.4g}" for arm in arms_of(link))
    sides = (link.alice, link.bob)
    clicks = " and ".join(f"{100 * side.detector_efficiency:.3g} %" for side in sides)
    return (
        f"{losses} dB to detectors of {clicks}, window {window_ns:.4g} ns: "
        f"{found.per_second:.4g} coincidences/s, {1 / (1 + found.ratio):.2%} of them accidental"
    )


def counted(link: LinkNumbers) -> Coincidences:
    """Return what the parties of a link count in a second, and how good it is.

    Args:
        link: Numbers of the source, the state, the detection and both sides.

    Returns:
        Rates of true and accidental coincidences, per second, and their error rates.

    Raises:
        ValueError: A number that the link needs is missing.

    Examples:
        >>> from e91.optics.link_files import Detection, SideNumbers, SourceNumbers
        >>> side = SideNumbers(detector_efficiency=0.5)
        >>> link = LinkNumbers(source=SourceNumbers(pairs_per_second=1e6), alice=side, bob=side,
        ...                    detection=Detection(coincidence_window_s=1e-9))
        >>> found = counted(link)
        >>> round(found.per_second), round(found.error_rate, 5)
        (250250, 0.0005)
    """
    bit_error, phase_error = errors_of(link.state)
    return coincidences(
        source_of(link),
        *arms_of(link),
        window_s=window_of(link),
        bit_error=bit_error,
        phase_error=phase_error,
    )


def errors_of(state: PairState) -> tuple[float, float]:
    """Return the bit error and the phase error of the pairs; none if nothing is said of them."""
    if state.bit_error is not None and state.phase_error is not None:
        return state.bit_error, state.phase_error
    error = 0.0 if state.visibility is None else (1 - state.visibility) / 2
    return error, error


def pair_of(noise: PairState, settings: Settings) -> QuantumCircuit:
    """Return a pair in the settings' state, with white noise or with bit and phase errors apart."""
    if noise.bit_error is None:
        visibility = 1.0 if noise.visibility is None else noise.visibility
        return with_visibility(bell_pair(settings.state), visibility)
    bit_error, phase_error = errors_of(noise)
    return pair_with_errors(bit_error=bit_error, phase_error=phase_error, state=settings.state)
