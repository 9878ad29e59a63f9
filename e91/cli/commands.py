"""The commands by name, each loaded when it is asked for: help and the others need not wait."""

import click

SUMMARIES = {
    "analyse": "Run the protocol on recorded detections.",
    "attack": "Eavesdroppers and dishonest devices, and what they do.",
    "bell": "Test local models: S, its error and a p-value.",
    "call": "Sound and pictures, live, under keys that change.",
    "chat": "Talk in lines, each under a one-time pad.",
    "conformance": "Run a sampler of your own through every check.",
    "decrypt": "Decrypt a file with the peer's key bytes.",
    "encrypt": "Encrypt a file with key bytes that are then used up.",
    "experiment": "Published experiments beside their simulation.",
    "explain": "Explain a word of a report.",
    "key": "What a key file holds; its bytes for use outside.",
    "kme": "Servers that hand out keys, and a test of any.",
    "network": "Networks of links: list, show, check, run them.",
    "rate": "Tell the secret-key rate of a link.",
    "run": "Run one session, from entangled pairs to a key.",
    "snapshots": "IBM machines as they were on one day.",
    "study": "Run the sweep that a file plans.",
}
"""What `e91 --help` says of each command."""


class Commands(click.Group):
    """The group of all commands, which imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click asks so
        """Return the names of all commands."""
        return list(SUMMARIES)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click asks so
        cmd_name: str,
    ) -> click.Command | None:
        """Return a command, or None if there is none of that name."""
        return loaded(cmd_name) if cmd_name in SUMMARIES else None

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click asks so
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the list of commands without loading one."""
        with formatter.section("Commands"):
            formatter.write_dl(list(SUMMARIES.items()))


def loaded(name: str) -> click.Command:  # noqa: C901 - a case for each command
    """Return the command called ``name``, one of `SUMMARIES`."""
    command: click.Command
    match name:
        case "analyse":
            from e91.cli.analyse import analyse as command
        case "attack":
            from e91.cli.attack import attack as command
        case "bell":
            from e91.cli.bell import bell as command
        case "call":
            from e91.cli.calls.call import call as command
        case "chat":
            from e91.cli.chat import chat as command
        case "conformance":
            from e91.cli.conformance import conformance as command
        case "decrypt":
            from e91.cli.decrypt import decrypt as command
        case "encrypt":
            from e91.cli.encrypt import encrypt as command
        case "experiment":
            from e91.cli.experiment import experiment as command
        case "explain":
            from e91.cli.explain import explain as command
        case "key":
            from e91.cli.key import key as command
        case "kme":
            from e91.cli.kme import kme as command
        case "network":
            from e91.cli.network import network as command
        case "rate":
            from e91.cli.rate import rate as command
        case "run":
            from e91.cli.run import run as command
        case "snapshots":
            from e91.cli.machines import snapshots as command
        case "study":
            from e91.cli.study import study as command
    return command
