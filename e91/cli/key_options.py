"""The options that say where keys come from: files of a session, or a key server by certificate."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from e91.cli.options import Decorator, as_one

if TYPE_CHECKING:
    from e91.encryption.key_sources import EnteredKeys, KeySource
    from e91.keys.usage import UsageLedger

_PATH = click.Path(path_type=Path)
_OF_A_SERVER = ("certificate", "ca", "peer")


@dataclass(frozen=True)
class KeyChoice:
    """Where keys come from, as it was typed.

    Attributes:
        key: Key files of one end, or folders of them.
        kme: URL of a key server, or None.
        certificate: Of this application, for the key server.
        private_key: Of the certificate, if it is not in the same file.
        ca: Who signs the certificates of key servers.
        crl: Which of them are revoked, or None.
        peer: SAE ID of the application at the other end.
        ledger: Where uses of keys are entered; None for the usual place.
    """

    key: tuple[Path, ...] = ()
    kme: str | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    ca: Path | None = None
    crl: Path | None = None
    peer: str | None = None
    ledger: Path | None = None

    def check(self) -> None:
        """Refuse a choice that is none, or is two.

        Raises:
            click.UsageError: It is.
        """
        if self.kme is None:
            given = next((n for n in (*_OF_A_SERVER, "private_key", "crl") if getattr(self, n)), "")
            if given:
                option = f"--{given.replace('_', '-')}"
                raise click.UsageError(f"`{option}` must come with `--kme URL`, but does not.")
            if not self.key:
                path = click.get_current_context().command_path
                raise click.UsageError(f"`{path}` must be given `--key` or `--kme`, but is not.")
            return
        if self.key:
            raise click.UsageError("Keys must come by `--key` or `--kme`, but both are given.")
        missing = [f"--{name}" for name in _OF_A_SERVER if getattr(self, name) is None]
        if missing:
            raise click.UsageError(f"`--kme` must come with `{missing[0]}`, but there is none.")

    @property
    def message_file(self) -> Path | None:
        """The one key file that is given, if it is one: it can encrypt single messages."""
        is_one = self.kme is None and len(self.key) == 1 and not self.key[0].is_dir()
        return self.key[0] if is_one else None

    @contextmanager
    def opened_ledger(self) -> "Iterator[UsageLedger]":
        """Give the ledger of key uses."""
        from e91.keys.usage import UsageLedger

        with UsageLedger(self.ledger) as ledger:
            yield ledger

    @contextmanager
    def source(self) -> "Iterator[KeySource]":
        """Give the keys, which nobody has entered in the ledger."""
        with ExitStack() as stack:
            if self.kme is None:
                from e91.encryption.key_sources import key_file_source

                yield stack.enter_context(key_file_source(self.key))
            else:
                from e91.cli.delivered_keys import DeliveredKeys

                client = stack.enter_context(self._client())
                yield DeliveredKeys(client, self.peer or "", server=self.kme)

    @contextmanager
    def entered(self, keys: "KeySource", *, cipher: str, name: str) -> "Iterator[EnteredKeys]":
        """Give keys that are entered in the ledger before anything made with them leaves."""
        from e91.encryption.key_sources import EnteredKeys

        with self.opened_ledger() as ledger:
            yield EnteredKeys(keys, ledger, cipher=cipher, name=name, peer=self.peer)

    def _client(self) -> Any:
        from e91.delivery.client import KeyClient

        assert self.kme is not None
        assert self.certificate is not None
        assert self.ca is not None
        return KeyClient(
            self.kme,
            certificate=self.certificate,
            private_key=self.private_key,
            ca=self.ca,
            crl=self.crl,
        )


def keys_option(help_of_key: str) -> Decorator:
    """Return the options that say where keys come from; a command gets them as ``keys``.

    Args:
        help_of_key: What ``--key`` is.
    """
    return as_one(
        "keys",
        KeyChoice,
        click.option("--key", type=_PATH, multiple=True, help=help_of_key),
        click.option("--kme", metavar="URL", help="Take keys from this key server instead."),
        click.option("--certificate", type=_PATH, help="Your certificate for the key server, PEM."),
        click.option("--private-key", type=_PATH, help="Its private key, if in another file."),
        click.option("--ca", type=_PATH, help="The authority that signs key servers, PEM."),
        click.option("--crl", type=_PATH, help="The certificates that it has revoked, PEM."),
        click.option("--peer", metavar="SAE", help="ID of the application at the other end."),
        click.option("--ledger", type=_PATH, help="Where uses of keys are entered."),
    )
