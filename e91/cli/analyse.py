"""``e91 analyse``: the same protocol on recorded detections, or on two lists of time tags."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from e91.cli.figures import FIGURE
from e91.cli.options import (
    ALICE_PROBABILITIES,
    BOB_PROBABILITIES,
    JSON,
    Angles,
    as_one,
    refuse_given,
    seed_option,
    settings_named,
    settings_option,
)
from e91.cli.outcome import FigureFile, as_text, draw_session
from e91.cli.policy_options import POLICY, policy_of
from e91.cli.tagger_options import (
    TAGGER,
    BothTags,
    TaggerWords,
    late_channels,
    load_and_find_delays,
    named_columns,
)
from e91.model.errors import Abort, ProtocolAborted
from e91.model.messages import Party
from e91.model.numbers import check_positive
from e91.model.records import DetectionRecord
from e91.model.settings import NAMED_SETTINGS, Settings
from e91.model.trust import SecurityModel
from e91.security.policy import Policy
from e91.system.progress import waiting

if TYPE_CHECKING:
    from e91.optics.tags import Correlated

LINES = "tagger_lines"
"""What is printed of a tagger's files; JSON has it as numbers."""

_SAMPLE_SECONDS = 2.0

ANGLES = as_one(
    "angles",
    Angles,
    settings_option(
        default=None, help_text="Angles of the analysers; by default the file's, else ekert."
    ),
    ALICE_PROBABILITIES,
    BOB_PROBABILITIES,
)
ESTIMATE = click.option(
    "--estimate-probabilities",
    is_flag=True,
    help="Take the settings' probabilities from the recording, as for passive receivers of unknown "
    "splitters and dead times; the report says what that assumes.",
)

SEARCH = as_one(
    "search",
    dict,
    click.option("--window-ps", type=float,
                 help="Full width of the coincidence window; 1000 by default."),
    click.option("--maximum-offset-s", type=float,
                 help="How far Bob's clock may be off Alice's; 0.5 by default, and below half a "
                 "period for pulsed sources."),
    click.option("--maximum-frequency-error-ppm", type=float,
                 help="How much faster or slower it may run; 10 by default."),
    click.option("--pulse-period-ps", type=float,
                 help="Of a pulsed source: accidentals are then counted ten pulses away."),
    click.option("--dead-time-ps", type=float,
                 help="Of the detectors, if known: the window must not exceed it."),
)  # fmt: skip
"""How coincidences are found; None for the defaults of `_Search`."""


def _refuse_attack(_: click.Context, __: click.Parameter, attack: str | None) -> None:
    if attack is not None:
        raise ValueError(
            "`--attack` must come with `e91 run`, but here the detections are recorded, and what "
            "happened to them has happened."
        )


@click.command()
@click.argument("files", metavar="[FILE]...", type=click.Path(path_type=Path), nargs=-1)
@ANGLES
@ESTIMATE
@TAGGER
@SEARCH
@POLICY
@seed_option("Reproducible, for tests: its key is not secret.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR",
              help="New folder for both key files and the report.")  # fmt: skip
@click.option(
    "--no-key",
    is_flag=True,
    help="Statistics only: nothing is used up, and the file may be analysed again.",
)
@click.option("--flip", type=click.Choice([party.value for party in Party]),
              help="Exchange 0 and 1 in this party's outcomes, as for a singlet.")  # fmt: skip
@click.option("--sample", type=click.Path(path_type=Path), metavar="DIR",
              help="Make a new folder of sample files by the simulator instead.")  # fmt: skip
@FIGURE
@click.option("--attack", hidden=True, callback=_refuse_attack, expose_value=False)
@JSON
def analyse(
    *,
    files: tuple[Path, ...],
    angles: Angles,
    estimate_probabilities: bool,
    tagger: TaggerWords,
    search: dict[str, float | None],
    policy: dict[str, Any],
    seed: int | None,
    out: Path | None,
    no_key: bool,
    flip: str | None,
    sample: Path | None,
    figure: FigureFile,
    as_json: bool,
) -> None:
    """Run the protocol on recorded detections; exit with 3 if it must abort.

    One FILE holds both parties' detections (.npz, .csv, .parquet); two hold Alice's time tags and
    Bob's.  One tagger's file of both parties' tags comes with `--alice-channels` and
    `--bob-channels`, and so do several with a channel each.  See docs/laboratory_files.md.  A
    recording makes one key, or none: afterwards it is refused, copies too, but for `--no-key`.
    """
    if sample is not None:
        _make_sample(sample, files, angles.settings_name or "ekert", seed=seed, as_json=as_json)
        return
    if not files:
        raise click.UsageError("`e91 analyse` must be given a FILE, or `--sample DIR`.")
    figure.check()
    if out is not None:
        _check_out(out, no_key=no_key)
    if estimate_probabilities:
        refuse_given(("alice_probabilities", "bob_probabilities"), _BESIDE_ESTIMATES)
    chosen = policy_of(**policy)
    with waiting("Reading the recording"):
        loaded = _loaded(files, tagger, search, policy=chosen, seed=seed)
    analysed = partial(
        _analysed,
        policy=chosen,
        seed=seed,
        statistics_only=no_key,
        estimate_probabilities=estimate_probabilities,
        flip=flip,
    )
    _conclude(loaded, angles, analysed, out=out, figure=figure, as_json=as_json)


def _check_out(out: Path, *, no_key: bool) -> None:
    if no_key:
        raise click.UsageError("`--out DIR` must come with a key, but here is `--no-key`.")
    from e91.system.durable import check_free

    check_free(out)


_BESIDE_ESTIMATES = "must come without `--estimate-probabilities`, but both are given."

Loaded = tuple[DetectionRecord, dict[str, Any], dict[str, Any]]


def _loaded(
    files: tuple[Path, ...],
    tagger: TaggerWords,
    search: dict[str, float | None],
    *,
    policy: Policy,
    seed: int | None,
) -> Loaded:
    given = {name: value for name, value in search.items() if value is not None}
    if len(files) == 1 and not _holds_tags(files[0], tagger):
        _check_no_search(given)
        return _detections(files[0], tagger)
    return _correlated(files, tagger, _Search(**given), policy=policy, seed=seed)


def _check_no_search(search: dict[str, Any]) -> None:
    for name in search:
        raise ValueError(
            f"`--{name.replace('_', '-')}` must come with two files of time tags, but there is one "
            "file."
        )


def _detections(file: Path, words: TaggerWords) -> Loaded:
    from e91.recorded import load_detections
    from e91.recorded.tables import DETECTION_COLUMNS

    renamed = named_columns(words.columns, DETECTION_COLUMNS)
    loaded = load_detections(file, renamed=renamed, has_signs=words.plus_minus_one)
    return (
        loaded.record,
        dict(loaded.metadata),
        _origin(f"detections in {file.name}", {file.name: loaded}),
    )


def _holds_tags(file: Path, tagger: TaggerWords) -> bool:
    """Return whether one file is that of a tagger."""
    from e91.recorded.taggers import has_laboratory_layout

    return tagger.is_given or has_laboratory_layout(file)


@dataclass(frozen=True)
class _Search:
    """How coincidences are found; see the options of the same names."""

    window_ps: float = 1000.0
    maximum_offset_s: float = 0.5
    maximum_frequency_error_ppm: float = 10.0
    pulse_period_ps: float | None = None
    dead_time_ps: float | None = None

    def __post_init__(self) -> None:
        if self.pulse_period_ps is not None:
            check_positive(pulse_period_ps=self.pulse_period_ps)

    @property
    def window_s(self) -> float:
        """Full width of the window."""
        return self.window_ps * 1e-12

    @property
    def pulse_period_s(self) -> float | None:
        """Of a pulsed source."""
        return None if self.pulse_period_ps is None else self.pulse_period_ps * 1e-12


def _correlated(
    files: tuple[Path, ...],
    words: TaggerWords,
    search: _Search,
    *,
    policy: Policy,
    seed: int | None,
) -> Loaded:
    from e91.recorded import check_one_run
    from e91.recorded.fingerprints import fingerprints_of_tags
    from e91.recorded.record_files import SEEDED

    if policy.security is SecurityModel.DEVICE_INDEPENDENT:
        raise ValueError(
            "`--security device-independent` must be given every round, lost photons included, but "
            "coincidences of time tags leave these out."
        )
    both = load_and_find_delays(
        files,
        words,
        window_s=search.window_s,
        pulse_period_s=search.pulse_period_s,
        maximum_offset_s=search.maximum_offset_s,
        maximum_frequency_error_ppm=search.maximum_frequency_error_ppm,
    )
    alice, bob = both.alice, both.bob
    check_one_run(alice, bob)
    found = _coincidences(both, search, seed=seed)
    used = fingerprints_of_tags(alice.tags) | fingerprints_of_tags(bob.tags)
    seeded = any(loaded.metadata.get(SEEDED) is True for loaded in (alice, bob))
    record = replace(found.record, read_from=used, reproducible=seeded)
    what = f"time tags in {' and '.join(file.name for file in files)}"
    origin = _origin(what, {files[0].name: alice, files[-1].name: bob})
    origin["coincidence_search"] = found.statistics.to_dict()
    window_s, period_s = search.window_s, search.pulse_period_s
    late = late_channels(
        both, files, words, clock=found.clock, window_s=window_s, pulse_period_s=period_s
    )
    return record, dict(alice.metadata), origin | _of_taggers(both, origin["sha256"], late)


def _coincidences(both: BothTags, search: _Search, *, seed: int | None) -> "Correlated":
    from e91.model.randomness import operating_system_entropy, seeded_entropy
    from e91.optics.tags import correlate

    found = correlate(
        both.alice.tags,
        both.bob.tags,
        window_s=search.window_s,
        maximum_offset_s=search.maximum_offset_s,
        maximum_frequency_error_ppm=search.maximum_frequency_error_ppm,
        side_delay_s=None if search.pulse_period_ps is None else search.pulse_period_ps * 1e-11,
        dead_time_s=None if search.dead_time_ps is None else search.dead_time_ps * 1e-12,
        entropy=operating_system_entropy if seed is None else seeded_entropy(seed),
    )
    if not len(found.record):
        raise ValueError("The two lists of tags must have coincidences, but have none.")
    return found


def _of_taggers(both: BothTags, sha256: dict[str, str], late: tuple[str, ...]) -> dict[str, Any]:
    """Return what is known of the taggers' files, for JSON and in words."""
    lines = [f"{name}: {report}." for name, report in both.reports.items()]
    if both.delays:
        lines.append(f"Delays found and taken away: {', '.join(both.delays)}.")
    if late:
        lines.append(f"Late channels: {', '.join(late)}; `--delay find` takes this away.")
    for report in both.reports.values():
        sha256 = sha256 | dict(report.sha256)
    return {
        "sha256": sha256,
        "taggers": {name: report.to_dict() for name, report in both.reports.items()},
        "delays": list(both.delays),
        "late_channels": list(late),
        LINES: lines,
    }


def _origin(what: str, files: dict[str, Any]) -> dict[str, Any]:
    stated = all(loaded.is_stored for loaded in files.values())
    checked = "content hash as stated" if stated else "no content hash stated"
    return {
        "origin": f"{what} ({checked})",
        "sha256": {name: loaded.sha256 for name, loaded in files.items()},
        "hash_was_stated": stated,
    }


def _conclude(
    loaded: Loaded,
    angles: Angles,
    analysed: Callable[..., Any],
    *,
    out: Path | None,
    figure: FigureFile,
    as_json: bool,
) -> None:
    """Distil a key of the record, save it, and print and draw what was found.

    Raises:
        ProtocolAborted: There is none.
    """
    from e91.session.folder import save_session
    from e91.system.durable import new_folder

    record, known, found = loaded
    settings = _settings(known, angles)
    lasted = found.get("coincidence_search", {}).get("duration_s") or None
    with waiting("Analysing the recording"):
        report = analysed(record, settings=settings, origin=found["origin"], duration_s=lasted)
    if report.abort is None and out is not None:
        with new_folder(out) as folder:
            save_session(report, folder)
        found["folder"] = str(out)
    _show(report, found, as_json=as_json)
    draw_session(report, figure)
    if report.abort not in (None, Abort.STATISTICS_ONLY):
        raise ProtocolAborted(report.abort)


def _analysed(record: DetectionRecord, **asked: Any) -> Any:
    from e91.session.session import analyse as analyse_record

    return analyse_record(record, **asked)


def _settings(known: dict[str, Any], angles: Angles) -> Settings:
    stated = known.get("settings")
    if angles.settings_name is not None:
        asked = angles.settings()
        if stated not in (None, asked.name):
            raise ValueError(
                f"`--settings` must be those of the file, `{stated}`, but are `{asked.name}`."
            )
        return asked
    if stated is not None and not (isinstance(stated, str) and stated in NAMED_SETTINGS):
        raise ValueError(
            f"`settings` in the file's metadata must be one of {', '.join(NAMED_SETTINGS)}, but is "
            f"{json.dumps(stated)[:80]}."
        )
    return angles.settings(stated or "ekert")


def _show(report: Any, found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(report.to_dict() | {k: v for k, v in found.items() if k != LINES}))
        return
    click.echo(as_text(report))
    for name, digest in found["sha256"].items():
        click.echo(f"  SHA-256 of {name}: {digest}")
    for line in found.get(LINES, ()):
        click.echo(f"  {line}")
    search = found.get("coincidence_search")
    if search is not None:
        car = "-" if search["car"] is None else f"{search['car']:.0f}"
        click.echo(
            f"  Bob's clock is {search['offset_s']:.12f} s and {search['frequency_error_ppm']:.4f} "
            f"ppm ahead; {search['accidentals']:.0f} ± {search['accidentals_error']:.0f} of the "
            f"coincidences are accidental (true to accidental: {car})."
        )
        alice, bob = (search[f"{party}_heralding_efficiency"] for party in ("alice", "bob"))
        click.echo(f"  Heralding efficiency  {alice:.2%} (Alice), {bob:.2%} (Bob)")
    if "folder" in found:
        click.echo(f"  folder                {found['folder']}")


def _make_sample(
    folder: Path, files: tuple[Path, ...], settings_name: str, *, seed: int | None, as_json: bool
) -> None:
    if files:
        raise click.UsageError("`--sample DIR` must come without FILE, but there is one.")
    from e91.devices.exact import exact_device
    from e91.model.randomness import operating_system_entropy, seeded_entropy
    from e91.recorded import save_sample
    from e91.system.durable import new_folder

    settings = settings_named(settings_name)
    with new_folder(folder) as hidden:
        made = save_sample(
            hidden,
            exact_device(settings=settings, visibility=0.97, seed=seed),
            settings=settings,
            duration_s=_SAMPLE_SECONDS,
            seed=seed,
            entropy=operating_system_entropy if seed is None else seeded_entropy(seed),
        )
    if as_json:
        click.echo(json.dumps({"folder": str(folder), **made}))
        return
    for name, digest in made["files"].items():
        click.echo(f"{folder / name}: SHA-256 {digest}")
