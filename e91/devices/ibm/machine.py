"""IBM Quantum machines: the only door to the runtime package's service.

The account is found as IBM's own tools find it, in ``~/.qiskit/qiskit-ibm.json`` or the variables
``QISKIT_IBM_TOKEN`` and ``QISKIT_IBM_INSTANCE``; nothing here takes, keeps or prints a token.  With
``QISKIT_IBM_CHANNEL=local`` the runtime package's fake machines rehearse everything offline.

One session is one job of one PUB, in job mode, which every plan allows.  Only raw shots are read.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from e91_circuits import bell_pair, measured_pair, measured_qubit
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.exceptions import QiskitError
from qiskit.providers import BackendV2

from e91.devices.circuits import CircuitTable, bound_circuits
from e91.devices.samplers.qubit_pairs import (
    ONE_CHIP,
    PairBackend,
    QubitPair,
    placed_circuit,
    placement_words,
)
from e91.devices.samplers.sampler_device import (
    ALICE_ANGLE,
    BOB_ANGLE,
    GROUPED,
    rounds_by_pair,
    setting_pub,
)
from e91.devices.samplers.snapshots import noisy_table
from e91.model.bits import Bits
from e91.model.device import checked_choices
from e91.model.settings import EKERT, Settings
from e91.system.extras import extra

MAXIMUM_EXECUTIONS = 10_000_000
"""IBM's limit of a sampler job, circuits times shots over all PUBs (documentation of 2026)."""

ASSUMPTION = f"{ONE_CHIP} {GROUPED}"
"""What the report of every session on such a machine adds."""

_NO_ACCOUNT = (
    "An IBM Quantum account must be saved, but there is none: get an API key and an instance at "
    "https://quantum.cloud.ibm.com and save them once with "
    "`QiskitRuntimeService.save_account(token=..., instance=...)`, or set QISKIT_IBM_TOKEN and "
    "QISKIT_IBM_INSTANCE."
)
_REFUSED = (
    "Your IBM Quantum account must be accepted, but is refused (expired or revoked key, or an "
    "instance that is not yours): make a new API key at https://quantum.cloud.ibm.com and save it "
    "with `QiskitRuntimeService.save_account(..., overwrite=True)`."
)
_NO_NETWORK = (
    "IBM Quantum must be reachable, but is not: check the network (and proxy) and try again; jobs "
    "that were submitted go on meanwhile."
)

_REP_DELAY_S = 250e-6  # where a machine names no delay between shots: the default of all snapshots


@dataclass(frozen=True, eq=False)
class JobPlan:
    """What a job will run and cost, known before it is submitted.

    Attributes:
        machine: Name of the backend.
        qubits: Physical qubits of Alice and of Bob.
        circuit: The placed circuit with the angle parameters.
        settings: Angles and roles.
        rounds: Rounds of the session.
        shots: Shots of each setting pair: as many as the most frequent one has rounds.
        seconds: Time on the machine, without queue and set-up: shots times their length and delay.
        table: Outcome probabilities that the machine's calibration promises.
        description: One sentence for the report.
    """

    machine: str
    qubits: QubitPair
    circuit: QuantumCircuit
    settings: Settings
    rounds: int
    shots: int
    seconds: float
    table: NDArray[np.float64]
    description: str

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The setting pairs, in the order of the job's bindings."""
        shape = len(self.settings.alice_angles), len(self.settings.bob_angles)
        return [(int(x), int(y)) for x, y in np.ndindex(*shape)]

    @property
    def circuits(self) -> CircuitTable:
        """The circuit of each setting pair, ``circuits[x][y]``, as the machine runs it."""
        return bound_circuits(self.circuit, (ALICE_ANGLE, BOB_ANGLE), settings=self.settings)

    @property
    def executions(self) -> int:
        """Circuits times shots."""
        return len(self.pairs) * self.shots


def open_service() -> Any:
    """Return the runtime service with the account that IBM's tools find.

    Returns:
        A `QiskitRuntimeService`.

    Raises:
        ValueError: The package is missing, there is no account, it is refused, or IBM cannot be
            reached.

    Examples:
        Local testing mode has the simulated machines of the runtime package, and no account.

        >>> from unittest.mock import patch
        >>> with patch.dict(os.environ, QISKIT_IBM_CHANNEL="local"):
        ...     service = open_service()
        >>> machine_of(service, "fake_manila").num_qubits
        5
    """
    runtime_service = extra("qiskit_ibm_runtime", what="`ibm:`").QiskitRuntimeService
    if os.environ.get("QISKIT_IBM_CHANNEL") == "local":
        return runtime_service(channel="local")
    saved = Path.home() / ".qiskit" / "qiskit-ibm.json"
    if "QISKIT_IBM_TOKEN" not in os.environ and not saved.exists():
        # Asked without one, the package would leave an empty account file behind.
        raise ValueError(_NO_ACCOUNT)
    with one_sentence():
        return runtime_service()


def machine_of(service: Any, name: str) -> BackendV2:
    """Return a machine that is up.

    Args:
        service: What `open_service` returned.
        name: Such as ``ibm_marrakesh``.

    Raises:
        ValueError: The account has no such machine, or it is down.
    """
    from qiskit.providers.exceptions import QiskitBackendNotFoundError

    with one_sentence(), warnings.catch_warnings():
        # Local testing mode looks at every fake machine, and one warns of itself.
        warnings.filterwarnings("ignore", "Properties of fake_", UserWarning)
        try:
            backend = service.backend(name)
        except QiskitBackendNotFoundError:
            known = sorted(found.name for found in service.backends())
            raise ValueError(
                f"`{name}` must be a machine of your account, but is none of: {', '.join(known)}."
            ) from None
        status = backend.status()
    if not status.operational:
        raise ValueError(
            f"`{name}` must be up, but is down ({status.status_msg}): choose another machine or "
            "try again later."
        )
    return backend


def plan_job(backend: BackendV2, x: Bits, y: Bits, *, settings: Settings = EKERT) -> JobPlan:
    """Return what measuring these rounds takes, without submitting anything.

    Args:
        backend: A machine.
        x: Alice's setting index in each round; shape (n,), n at least 1.
        y: Bob's.
        settings: The angles of both parties.

    Raises:
        ValueError: The machine is too small, or the rounds do not fit in one job.

    Examples:
        >>> from e91.devices.samplers.snapshots import snapshot_backend
        >>> x = np.repeat(np.uint8([0, 1, 2]), 300)
        >>> plan = plan_job(snapshot_backend("manila"), x, np.tile(np.uint8([0, 1, 2]), 300))
        >>> plan.shots, plan.executions, plan.qubits, round(plan.seconds, 2)
        (100, 900, (4, 3), 0.23)
    """
    x, y = checked_choices(x, y, settings=settings)
    shots = max(map(len, rounds_by_pair(x, y, settings=settings).values()))
    pairs = len(settings.alice_angles) * len(settings.bob_angles)
    if pairs * shots > MAXIMUM_EXECUTIONS:
        most = len(x) * MAXIMUM_EXECUTIONS // (pairs * shots)
        raise ValueError(
            f"A job must have at most {MAXIMUM_EXECUTIONS:,} executions, but {len(x):,} rounds "
            f"take {pairs * shots:,} (each of {pairs} setting pairs as often as the most "
            f"frequent): send at most about {most:,} rounds."
        )
    measured = measured_pair(bell_pair(settings.state), ALICE_ANGLE, BOB_ANGLE)
    circuit = placed_circuit(measured, backend)
    alice, bob = (circuit.find_bit(measured_qubit(circuit, p)).index for p in ("alice", "bob"))
    return JobPlan(
        machine=backend.name,
        qubits=(alice, bob),
        circuit=circuit,
        settings=settings,
        rounds=len(x),
        shots=shots,
        seconds=pairs * shots * _seconds_per_shot(backend, circuit),
        table=_promised_table(backend, (alice, bob), settings=settings),
        description=f"IBM Quantum{placement_words(circuit, backend)}, raw shots of one job; "
        f"{measured.name}. Two qubits of one chip are not two parties.",
    )


def _seconds_per_shot(backend: BackendV2, circuit: QuantumCircuit) -> float:
    """Return the length of the circuit and the delay before the next shot."""
    delay = getattr(backend, "default_rep_delay", None)
    try:
        length = float(circuit.estimate_duration(backend.target, unit="s"))
    except QiskitError:  # a target without durations
        length = 0.0
    return length + (_REP_DELAY_S if delay is None else float(delay))


def _promised_table(
    backend: BackendV2, qubits: QubitPair, *, settings: Settings
) -> NDArray[np.float64]:
    pair = PairBackend(backend, qubits)
    measured = measured_pair(bell_pair(settings.state), ALICE_ANGLE, BOB_ANGLE)
    circuit = placed_circuit(measured, pair, layout=(0, 1))
    return noisy_table(circuit, settings=settings, noise_model=pair.noise_model)


def submit(plan: JobPlan, backend: BackendV2, *, tag: str) -> Any:
    """Submit the plan as one job and return it.

    Args:
        plan: What `plan_job` returned for this machine.
        backend: The machine.
        tag: By which the job can be found again if its id is lost.

    Raises:
        ValueError: IBM does not take it.  It may have arrived all the same if the connection broke:
            look for the tag before submitting again.
    """
    pub = setting_pub(plan.circuit, plan.pairs, shots=plan.shots, settings=plan.settings)
    with one_sentence():
        return runtime_sampler(backend, tag=tag).run([pub])


def runtime_sampler(backend: BackendV2, *, tag: str) -> Any:
    """Return IBM's sampler in job mode, with raw shots: no twirling, no decoupling, no mitigation.

    The client-side sampler of runtime 0.50 and later; where that is missing, the older one.
    """
    try:
        from qiskit_ibm_runtime.executor_sampler import Sampler
    except ImportError:
        from qiskit_ibm_runtime import SamplerV2 as Sampler
    options = {
        "environment": {"job_tags": [tag]},
        "twirling": {"enable_gates": False, "enable_measure": False},
        "dynamical_decoupling": {"enable": False},
    }
    return Sampler(mode=backend, options=options)


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn what the runtime package raises into a ValueError that says what to do next."""
    from qiskit.providers.exceptions import JobError
    from qiskit_ibm_runtime.accounts.exceptions import AccountNotFoundError
    from qiskit_ibm_runtime.api.exceptions import ApiError
    from qiskit_ibm_runtime.exceptions import (
        IBMError,
        RuntimeInvalidStateError,
        RuntimeJobMaxTimeoutError,
        RuntimeJobNotFound,
    )

    try:
        yield
    except AccountNotFoundError:
        raise ValueError(_NO_ACCOUNT) from None
    except RuntimeJobNotFound as error:
        raise ValueError(
            f"A job must be one of this account's, but is not ({_words(error)}): use the account "
            "that submitted it."
        ) from None
    except RuntimeInvalidStateError as error:
        raise ValueError(
            f"A job must run to its end, but was cancelled ({_words(error)}): its rounds are lost; "
            "start again with `e91 run`."
        ) from None
    except (JobError, RuntimeJobMaxTimeoutError) as error:
        raise ValueError(
            f"A job must run to its end, but failed ({_words(error)}): nothing was measured that "
            "counts; start again with `e91 run`."
        ) from None
    except (IBMError, ApiError, OSError) as error:  # requests' errors are OSErrors
        raise ValueError(_cause(error)) from None


def _cause(error: BaseException) -> str:
    """Return the sentence for what lies at the bottom of a chain of errors."""
    from qiskit_ibm_runtime.exceptions import IBMAccountError, IBMNotAuthorizedError

    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    names = {kind.__name__ for found in chain for kind in type(found).__mro__}
    codes = {getattr(found, "status_code", getattr(found, "code", None)) for found in chain}
    if codes & {400, 401, 403} or any(isinstance(found, IBMNotAuthorizedError) for found in chain):
        return _REFUSED
    if names & {"ConnectionError", "Timeout", "NewConnectionError", "gaierror"}:
        return _NO_NETWORK
    if any(isinstance(found, IBMAccountError) for found in chain):
        return _REFUSED
    return f"IBM Quantum must take the request, but does not: {_words(error)}"


def _words(error: BaseException) -> str:
    """Return the first line of what an error says, with a full stop."""
    text = (str(getattr(error, "message", "")) or str(error)).strip().splitlines()
    first = text[0].strip().strip("'\"") if text else type(error).__name__
    return first if first.endswith(".") else f"{first}."
