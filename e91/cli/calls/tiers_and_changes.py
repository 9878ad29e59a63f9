"""Options on how a call is protected, and when its key changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from e91.cli.options import COUNT, as_one

if TYPE_CHECKING:
    from e91.encryption.rtp import CallTier, KeyChanges

TIER = as_one(
    "tier",
    dict,
    click.option("--cipher", type=click.Choice(["aes-256-gcm", "one-time-pad"]),
                 default="aes-256-gcm", show_default=True,
                 help="SRTP, or a pad as long as the packets; the same at both ends."),
    click.option("--pad-bytes", type=COUNT, default=16_384, show_default=True,
                 help="Of every pad; the same at both ends."),
)  # fmt: skip
CHANGES = as_one(
    "changes",
    dict,
    click.option("--every", "every_s", type=float, default=10.0, show_default=True,
                 help="Seconds of the call for which a key is used; a pad, until it is full."),
    click.option("--ahead", "lead_s", type=float, default=2.0, show_default=True,
                 help="Seconds before its use at which the next key is announced."),
)  # fmt: skip


def tier_of(options: dict[str, Any]) -> CallTier:
    """Return how packets are protected."""
    from e91.encryption.rtp import SRTP, pad_tier

    return SRTP if options["cipher"] == SRTP.name else pad_tier(options["pad_bytes"])


def changes_of(options: dict[str, Any], tier: CallTier) -> KeyChanges:
    """Return when keys change: those of SRTP by time, pads when they are full.

    Raises:
        ValueError: A time is not positive.
    """
    from e91.encryption.rtp import SRTP, KeyChanges

    asked = KeyChanges(**options)
    return asked if tier.name == SRTP.name else KeyChanges()
