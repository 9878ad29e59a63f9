"""The table of attacks: what each is, how strong it can be, what it shows, how it is built."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from e91.adversaries import builders, closed_forms
from e91.adversaries.assumptions import Assumption
from e91.adversaries.builders import Build
from e91.adversaries.closed_forms import Expected
from e91.adversaries.conditions import Conditions
from e91.model.numbers import TSIRELSON

PLANAR_EFFICIENCY = 4 / (math.pi + 2)


@dataclass(frozen=True)
class Attack:
    """One adversary.

    Attributes:
        name: What users call it.
        summary: What Eve does, in a sentence.
        meaning: What its strength is; empty if it has none.
        low: Smallest strength.
        high: Largest strength; may be infinite, which is then excluded.
        default: Strength if none is given.
        expected: S, QBER and Eve's knowledge in closed form, without noise.
        build: How to make the device.
        settings: Names of the settings under which it exists; empty for all.
        has_photons: Whether noise other than visibility has something to act on.
        is_channel: Whether Eve is a channel on the photons: then ``exact`` rounds come at the speed
            of a device without her, by the session and by the block.
        breaks: Assumptions of theorems that are false under it.
    """

    name: str
    summary: str
    meaning: str
    low: float
    high: float
    default: float
    expected: Callable[[Conditions], Expected]
    build: Build
    settings: tuple[str, ...] = ()
    has_photons: bool = True
    is_channel: bool = False
    breaks: tuple[Assumption, ...] = ()

    def check_strength(self, strength: float) -> None:
        """Check that the attack can be this strong.

        Raises:
            ValueError: It cannot.
        """
        if not (self.low <= strength <= self.high and math.isfinite(strength)):
            above = f"[{self.low:.6g}, {self.high:.6g}]"
            if math.isinf(self.high):
                above = f"[{self.low:.6g}, infinity)"
            raise ValueError(
                f"`strength` of `{self.name}` must lie in {above} ({self.meaning}), but is "
                f"{strength:g}."
            )


_ALL = (
    Attack("intercept-resend", "Eve measures Bob's photons and resends what she found.",
           "fraction of the pairs", 0, 1, 1,
           closed_forms.intercept_resend, builders.intercept_resend, is_channel=True),
    Attack("cloner", "Eve clones Bob's photons alike in all bases and keeps the clones.",
           "disturbance D, the error rate", 0, 0.5, 0.1,
           closed_forms.cloner, builders.cloner, is_channel=True),
    Attack("probe", "Eve entangles a probe with Bob's photons along the key, and keeps it.",
           "overlap of the probe's two states", 0, 1, 0.5,
           closed_forms.probe, builders.probe, is_channel=True),
    Attack("collective", "Eve builds source and analyser to know most of the key at a given S.",
           "S", 2, TSIRELSON, 2.5,
           closed_forms.collective, builders.collective, settings=("asymmetric",),
           is_channel=True, breaks=(Assumption.ANALYSERS,)),
    Attack("photon-number-splitting",
           "Eve keeps all photons of a pulsed source but one pair, and knows how many there were.",
           "mean pairs per pulse", 0, math.inf, 0.1,
           closed_forms.photon_number_splitting, builders.photon_number_splitting,
           is_channel=True),
    Attack("separable", "Eve's source sends pairs of equal photons without entanglement.",
           "fraction of the pairs", 0, 1, 1,
           closed_forms.separable, builders.separable, is_channel=True),
    Attack("local", "The devices follow prepared answers; a Bell test sees it.",
           "S", 0, 2, 2,
           closed_forms.local, builders.local, has_photons=False,
           breaks=(Assumption.ANALYSERS,)),
    Attack("detection-loophole", "Prepared answers and losses that only look independent.",
           "efficiency; S = 4 / efficiency - 2", 2 / 3, 1, 0.8284,
           closed_forms.detection_loophole, builders.detection_loophole, has_photons=False,
           breaks=(Assumption.ANALYSERS, Assumption.FAIR_SAMPLING)),
    Attack("gisin", "A local model with all correlations of a perfect pair, if losses are ignored.",
           "efficiency", 0, PLANAR_EFFICIENCY, 0.75,
           closed_forms.gisin, builders.gisin, has_photons=False,
           breaks=(Assumption.ANALYSERS, Assumption.FAIR_SAMPLING)),
    Attack("memory", "Prepared answers that lose where it costs least, given all past settings.",
           "fraction of the rounds", 0, 1, 1,
           closed_forms.partly_local, builders.memory,
           breaks=(Assumption.ANALYSERS, Assumption.INDEPENDENT_ROUNDS)),
    Attack("setting-leak", "Bob's device learns Alice's setting in some rounds.",
           "probability of a leak", 0, 1, 0.4142,
           closed_forms.setting_leak, builders.setting_leak, has_photons=False,
           breaks=(Assumption.ANALYSERS, Assumption.SETTINGS)),
    Attack("time-shift", "Eve shifts photons to where one of Bob's detectors hardly sees them.",
           "ratio of the detector efficiencies", 1, math.inf, 4,
           closed_forms.time_shift, builders.time_shift,
           breaks=(Assumption.FAIR_SAMPLING,)),
    Attack("blinding", "Eve blinds Bob's detectors and lets them fire when it suits her.",
           "fraction of the rounds", 0, 1, 1,
           closed_forms.blinding, builders.blinding,
           breaks=(Assumption.ANALYSERS, Assumption.FAIR_SAMPLING)),
    Attack("double-blinding", "Eve blinds all detectors and fires those of both parties at will.",
           "S, with efficiency 1/2 + 1/S", 2, TSIRELSON, TSIRELSON,
           closed_forms.double_blinding, builders.double_blinding, has_photons=False,
           breaks=(Assumption.ANALYSERS, Assumption.FAIR_SAMPLING)),
    Attack("drift", "No Eve: the visibility falls steadily over the session.",
           "visibility lost by the end", 0, 1, 0.2,
           closed_forms.drift, builders.drift,
           breaks=(Assumption.INDEPENDENT_ROUNDS,)),
    Attack("turning-bad", "Honest devices are replaced by prepared answers late in the session.",
           "share of the session after that", 0, 1, 0.5,
           closed_forms.partly_local, builders.turning_bad,
           breaks=(Assumption.ANALYSERS, Assumption.INDEPENDENT_ROUNDS)),
    Attack("replay", "The devices play back a tape, made for settings that Eve foresaw.",
           "probability that a round's settings were foreseen", 0, 1, 1,
           closed_forms.replay, builders.replay,
           breaks=(Assumption.ANALYSERS, Assumption.SETTINGS)),
    Attack("man-in-the-middle", "Eve is Bob to Alice and Alice to Bob; only tags can tell.",
           "", 1, 1, 1,
           closed_forms.man_in_the_middle, builders.man_in_the_middle,
           breaks=(Assumption.AUTHENTICATION,)),
)  # fmt: skip

ATTACKS = {attack.name: attack for attack in _ALL}
"""Every attack by its name."""


def attack_named(name: str) -> Attack:
    """Return the attack of this name.

    Raises:
        ValueError: There is none.

    Examples:
        >>> attack_named("cloner").high
        0.5
    """
    if name not in ATTACKS:
        raise ValueError(f"`attack` must be one of {', '.join(ATTACKS)}, but is `{name}`.")
    return ATTACKS[name]
