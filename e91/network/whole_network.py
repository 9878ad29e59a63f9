"""A network that was loaded: a plan that shows itself and can be let go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from e91.model.drawn import Drawn
from e91.network.layout import NetworkPlan
from e91.network.plan_summary import described, places

if TYPE_CHECKING:
    from e91.network.network_report import NetworkReport
    from e91.network.network_run import Depth


class Network(Drawn, NetworkPlan):
    """A plan that shows itself as text and as a map, and runs.

    Its attributes are those of `NetworkPlan`.

    Examples:
        >>> from e91.network import load
        >>> load("cambridge-2019")
        <network cambridge-2019 (published): 3 trusted relays, 3 links>
        >>> print(str(load("cambridge-2019")).splitlines()[1])
          Cambridge quantum network, 2019
    """

    def __repr__(self) -> str:
        variant = f" ({self.variant})" if self.variant else ""
        return f"<network {self.name}{variant}: {places(self)}, {len(self.links):,} links>"

    def __str__(self) -> str:
        return described(self)

    def run(
        self,
        *,
        minutes: float | None = None,
        depth: Depth = "bits",
        seed: int | None = None,
        workers: int | None = None,
        rule: str | None = None,
        disjoint: int = 1,
        client: Any = None,
    ) -> NetworkReport:
        """Let time pass in the network, and return what became of it.

        Arguments, errors and more of them as of `e91.network.run`.

        Args:
            minutes: Simulated time; by default what the plan says.
            depth: ``"bits"`` or ``"counts"``, as of `e91.network.run`.
            seed: Root of all randomness; None takes the operating system's.
            workers: Processes that make blocks; by default one for each core.
            rule: Rule of routing; by default the plan's.
            disjoint: Ways without a common relay, a share of the key on each.
            client: Dask client whose workers make the blocks; by default this machine does.
        """
        from e91.network.network_run import run

        return run(
            self, minutes=minutes, depth=depth, seed=seed, workers=workers, rule=rule,
            disjoint=disjoint, client=client,
        )  # fmt: skip
