"""The options that say what a key must promise, and by which theorem, as one value."""

from typing import Any

import click

from e91.cli.options import (
    ASYMPTOTIC,
    COUNT,
    EPSILON,
    PROBABILITY,
    REVEAL,
    as_one,
    security_option,
)
from e91.model.trust import SecurityModel
from e91.security.policy import Policy, Reconciler


def policy_of(*, security: str, **others: Any) -> Policy:
    """Return the policy that the options of `POLICY` ask for.

    Raises:
        ValueError: There is none, e.g. because a theorem needs another security model.
    """
    return Policy(SecurityModel(security), **others)


POLICY = as_one(
    "policy",
    dict,
    security_option(),
    EPSILON,
    REVEAL,
    click.option("--theorem", metavar="NAME",
                 help="Theorem of the key length; by default the security model's."),
    ASYMPTOTIC,
    click.option("--tolerated-error", type=float,
                 help="Declared beforehand, where a theorem asks for it."),
    click.option("--flip-probability", type=float, default=0.0,
                 help=f"Noisy preprocessing, with --theorem ho-2020; {PROBABILITY}."),
    click.option("--reconciler", type=click.Choice([known.value for known in Reconciler]),
                 default=Reconciler.CASCADE.value, show_default=True,
                 help="Error correction; ldpc is one message and needs e91[ldpc]."),
    click.option("--portions", type=COUNT, default=1, show_default=True,
                 help="Divide a long key into 2, 4, ... 64 portions, which is faster."),
)  # fmt: skip
"""Arguments of `policy_of`."""
