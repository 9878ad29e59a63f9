"""``e91 run``: one session, from entangled pairs to a key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from e91.cli.devices import DEVICES, block_device, ibm_machine, session_device
from e91.cli.outcome import check_files, show_and_save
from e91.model.policy import Policy, Reconciler, SecurityModel
from e91.model.settings import SETTINGS, Settings

_PROBABILITY = "probability, 0 to 1"


def _options(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def add(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return add


_PHYSICS = _options(
    click.option(
        "--device",
        metavar=DEVICES,
        default="aer",
        show_default=True,
        help="aer: every round is a shot of the Aer simulator; exact: rounds are drawn from the "
        "probabilities that Aer computes; fake: from those of the best two qubits of an IBM "
        "machine's snapshot, offline; ibm: one job on the machine itself, with your account.",
    ),
    click.option(
        "--settings",
        "settings_name",
        type=click.Choice(sorted(SETTINGS)),
        default="ekert",
        show_default=True,
        help="Angles of the analysers.",
    ),
    click.option(
        "--alice-probabilities",
        metavar="P,P,...",
        help="Probability of each of Alice's settings; uniform by default.",
    ),
    click.option(
        "--bob-probabilities",
        metavar="P,P,...",
        help="Probability of each of Bob's settings; uniform by default.",
    ),
    click.option(
        "--visibility",
        type=float,
        default=0.97,
        show_default=True,
        help="Werner visibility of the pairs, 0 to 1.",
    ),
    click.option(
        "--dephasing", type=float, default=0.0, help=f"Phase flip on Bob's arm, {_PROBABILITY}."
    ),
    click.option(
        "--misalignment",
        type=float,
        default=0.0,
        help="Rotation of Bob's arm, radians on the Bloch sphere.",
    ),
    click.option(
        "--amplitude-damping",
        type=float,
        default=0.0,
        help=f"Decay of Bob's photon to outcome +1, {_PROBABILITY}.",
    ),
    click.option(
        "--readout-error",
        type=float,
        default=0.0,
        help=f"Flip of each outcome, both parties, {_PROBABILITY}.",
    ),
    click.option(
        "--attack", metavar="NAME", help="Put an eavesdropper on the line; see `e91 attack list`."
    ),
    click.option(
        "--strength", type=float, help="Of the attack; `e91 attack list` says what it is."
    ),
    click.option(
        "--basis",
        type=click.Choice(["random", "z", "x", "breidbart", "y"]),
        help="Basis in which intercept-resend measures; random by default.",
    ),
    click.option(
        "--flips",
        type=float,
        help="With the attack collective: key outcomes that Eve's device flips, 0 to 0.5.",
    ),
    click.option(
        "--unauthenticated",
        is_flag=True,
        help="With man-in-the-middle: tags are made with a key that everybody knows.",
    ),
)


@click.command()
@click.option("--rounds", type=int, default=1_000_000, show_default=True, help="Pairs to send.")
@click.option("--seed", type=int, help="Reproducible run, for tests: its key is not secret.")
@click.option(
    "--security",
    type=click.Choice([model.value for model in SecurityModel]),
    default=SecurityModel.TRUSTED_ANALYSERS.value,
    show_default=True,
    help="What is assumed of the equipment.",
)
@click.option("--epsilon", type=float, default=1e-10, show_default=True,
              help="Failure probability of the session.")  # fmt: skip
@click.option("--reveal", type=float, default=0.1, show_default=True,
              help="Fraction of the key revealed to estimate the QBER.")  # fmt: skip
@click.option("--theorem", metavar="NAME",
              help="Theorem of the key length; by default the security model's.")  # fmt: skip
@click.option("--tolerated-error", type=float,
              help="Declared beforehand, where a theorem asks for it.")  # fmt: skip
@click.option("--flip-probability", type=float, default=0.0,
              help=f"Noisy preprocessing, with --theorem ho-2020; {_PROBABILITY}.")  # fmt: skip
@click.option("--reconciler", type=click.Choice([known.value for known in Reconciler]),
              default=Reconciler.CASCADE.value, show_default=True,
              help="Error correction; ldpc is one message and needs e91[ldpc].")  # fmt: skip
@click.option("--portions", type=int, default=1, show_default=True,
              help="Deal a long key into so many (2, 4, ... 64), which is faster.")  # fmt: skip
@click.option("--watch", type=float, metavar="V",
              help="Sound the alarm if the link is worse than pairs of visibility V.")  # fmt: skip
@click.option("--false-alarm", type=float,
              help="With --watch: probability of ever ringing without cause; 0.001.")  # fmt: skip
@click.option("--block-rounds", type=int, default=2**22, show_default=True,
              help="Rounds of a block, in runs of more than 50 million pairs.")  # fmt: skip
@click.option("--threads", type=int, help="Blocks in work at once; all cores by default.")
@click.option("--processes", is_flag=True,
              help="Make the blocks in processes: faster, for more memory.")  # fmt: skip
@click.option("--keep", type=click.Path(path_type=Path), metavar="DIR",
              help="New folder for the raw record of every block.")  # fmt: skip
@click.option("--encrypt", "plain", type=click.Path(path_type=Path), metavar="FILE",
              help="Encrypt FILE with the key; needs --out.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR",
              help="New folder for both key files, the report and the ciphertext.")  # fmt: skip
@_PHYSICS
@click.option("--yes", "confirmed", is_flag=True, help="With ibm: submit the job without asking.")
@click.option("--leave", is_flag=True, help="With ibm: do not wait for the job; --resume later.")
@click.option("--resume", metavar="ID", help="Go on with a session whose job was left.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def run(
    *,
    rounds: int,
    seed: int | None,
    security: str,
    epsilon: float,
    reveal: float,
    theorem: str | None,
    tolerated_error: float | None,
    flip_probability: float,
    reconciler: str,
    portions: int,
    watch: float | None,
    false_alarm: float | None,
    block_rounds: int,
    threads: int | None,
    processes: bool,
    keep: Path | None,
    plain: Path | None,
    out: Path | None,
    confirmed: bool,
    leave: bool,
    resume: str | None,
    as_json: bool,
    settings_name: str,
    alice_probabilities: str | None,
    bob_probabilities: str | None,
    **physics: Any,
) -> None:
    """Run one session, from entangled pairs to a key; exit with 3 if it must abort."""
    if plain is not None and out is None:
        raise click.UsageError("`--encrypt FILE` must come with `--out DIR`, but there is none.")
    if resume is not None:
        from e91.cli.ibm import resume as go_on

        check_files(plain, out)
        go_on(resume, leave=leave, plain=plain, out=out, as_json=as_json)
        return
    if seed is not None and seed < 0:
        raise ValueError(f"`--seed` must not be negative, but is {seed}.")
    policy = Policy(
        SecurityModel(security),
        epsilon=epsilon,
        revealed_fraction=reveal,
        theorem=theorem,
        tolerated_error=tolerated_error,
        flip_probability=flip_probability,
        reconciler=reconciler,
        portions=portions,
    )
    promise = _promise(watch, false_alarm)
    settings = _settings(settings_name, alice_probabilities, bob_probabilities)
    check_files(plain, out)

    machine = ibm_machine(physics["device"], leave=leave, confirmed=confirmed)
    if machine is not None:
        from e91.cli.ibm import run_on_ibm

        run_on_ibm(
            machine,
            rounds=rounds,
            settings=settings,
            policy=policy,
            seed=seed,
            confirmed=confirmed,
            leave=leave,
            plain=plain,
            out=out,
            as_json=as_json,
        )
        return

    from e91.progress import with_progress
    from e91.session import MAXIMUM_ROUNDS, check_rounds
    from e91.session import run as run_session

    if rounds > MAXIMUM_ROUNDS or keep is not None:
        from e91.cli.long_run import run_blocks

        if plain is not None:
            raise ValueError(
                f"`--encrypt FILE` must come with at most {MAXIMUM_ROUNDS:,} rounds and without "
                "`--keep`; a run of blocks saves their keys in `--out DIR`."
            )
        run_blocks(
            block_device(settings=settings, seed=seed, **physics),
            rounds=rounds,
            policy=policy,
            seed=seed,
            out=out,
            block_rounds=block_rounds,
            threads=threads,
            processes=processes,
            keep=keep,
            promise=promise,
            as_json=as_json,
        )
        return
    check_rounds(rounds)
    device, channel = session_device(settings=settings, seed=seed, rounds=rounds, **physics)
    arguments = {"rounds": rounds, "policy": policy, "seed": seed, **channel}
    if promise is None:
        report = run_session(with_progress(device, rounds), **arguments)
    else:
        from e91.watching import run_watched

        report = run_watched(with_progress(device, rounds), promise, **arguments)
    if report.alarm is not None:
        click.echo(f"e91: {report.alarm}", err=True)
    show_and_save(report, out=out, plain=plain, as_json=as_json)


def _promise(watch: float | None, false_alarm: float | None) -> Any:
    """Return what the link promises, or None if it is not to be watched."""
    if watch is None:
        if false_alarm is not None:
            raise ValueError("`--false-alarm` must come with `--watch V`, but there is none.")
        return None
    from e91.alarms import Promise

    return Promise(watch) if false_alarm is None else Promise(watch, false_alarm=false_alarm)


def _settings(name: str, alice: str | None, bob: str | None) -> Settings:
    chosen = SETTINGS[name]
    return chosen.biased(
        chosen.alice_probabilities if alice is None else _numbers(alice),
        chosen.bob_probabilities if bob is None else _numbers(bob),
    )


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(
            f"Probabilities must be numbers with commas between, but are `{text}`."
        ) from None
