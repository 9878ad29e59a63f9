"""One's own settings: a TOML file of angles, key pairs and CHSH pairs with their signs."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from e91.bell.count_tables import ANGLE_UNITS
from e91.model.bell_states import BellState
from e91.model.settings import NAMED_SETTINGS, Settings
from e91.system.documents import Document, Finite, Text, read_toml

_Index = Annotated[int, Meta(ge=0, le=254)]


class _PartyAngles(Document, frozen=True):
    """A party's angles, in the file's unit, and how often each is chosen."""

    angles: Annotated[tuple[Finite, ...], Meta(min_length=1)]
    probabilities: tuple[Finite, ...] = ()


class _SignedPair(Document, frozen=True):
    """A pair of indices of angles, from 0, and its sign."""

    pair: tuple[_Index, _Index]
    sign: Literal[1, -1]


class _SettingsFile(Document, frozen=True):
    """A file of settings."""

    unit: Literal["bloch-degrees", "bloch-radians", "polariser-degrees"]
    alice: _PartyAngles
    bob: _PartyAngles
    key: Annotated[tuple[_SignedPair, ...], Meta(min_length=1)]
    chsh: tuple[_SignedPair, ...] = ()
    state: BellState = "phi+"
    name: Text | None = None


def read_settings(file: Path | str) -> Settings:
    """Return the settings of a TOML file.

    Args:
        file: Its keys are ``unit`` of the angles (``bloch-degrees``, ``bloch-radians`` or
            ``polariser-degrees``), tables ``alice`` and ``bob`` with ``angles`` and, unless they
            are uniform, ``probabilities``, lists ``key`` and ``chsh`` of tables with ``pair`` (two
            indices of angles, from 0) and ``sign`` (1 or -1), the ``state`` of the pairs (phi+ by
            default), and a ``name`` (the file's by default).

    Returns:
        The settings, checked.

    Raises:
        ValueError: The file cannot be read or has another format, or `Settings` refuses it, or has
            the name of other settings.

    Examples:
        >>> import tempfile
        >>> text = '''
        ... unit = "bloch-degrees"
        ... state = "psi-"
        ... alice.angles = [0, 90]
        ... bob.angles = [0, 45, 135]
        ... key = [{pair = [0, 0], sign = -1}]
        ... chsh = [
        ...     {pair = [0, 1], sign = -1}, {pair = [0, 2], sign = 1},
        ...     {pair = [1, 1], sign = -1}, {pair = [1, 2], sign = -1},
        ... ]
        ... '''
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "singlet.toml").write_text(text)
        ...     found = read_settings(Path(folder) / "singlet.toml")
        >>> found.name, found.state, found.signed_key_pairs
        ('singlet', 'psi-', (((0, 0), -1),))
    """
    file = Path(file)
    content = read_toml(file, _SettingsFile)
    size = ANGLE_UNITS[content.unit]
    alice, bob = (
        tuple(angle * size for angle in party.angles) for party in (content.alice, content.bob)
    )
    try:
        found = Settings(
            name=content.name or file.stem,
            alice_angles=alice,
            bob_angles=bob,
            key_pairs=tuple(role.pair for role in content.key),
            key_signs=tuple(role.sign for role in content.key),
            chsh_pairs=tuple((role.pair, role.sign) for role in content.chsh),
            alice_probabilities=content.alice.probabilities,
            bob_probabilities=content.bob.probabilities,
            state=content.state,
        )
    except ValueError as error:
        raise ValueError(f"In `{file}`: {error}") from None
    if found.name in NAMED_SETTINGS:
        raise ValueError(
            f"In `{file}`: `name` must be none of {', '.join(NAMED_SETTINGS)}, but is {found.name}."
        )
    return found
