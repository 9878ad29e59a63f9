"""A study of eight short sessions, and how results are compared."""

from e91.studies import plan_study

ROUNDS = 40_000


def small(**fixed):
    """Eight sessions: fast, and enough to be interrupted."""
    return plan_study(
        {"rounds": ROUNDS, "settings.name": "bbm92"} | fixed,
        sweep=[{"device.visibility": [0.6, 0.9, 0.95, 0.99]}],
        repeats=2,
    )


def same(found, expected):
    """Whether two results are equal to the last bit, the time they took excepted."""
    return found.drop_vars("processor_seconds").identical(expected.drop_vars("processor_seconds"))


def written(folder, text):
    file = folder / "scan.toml"
    file.write_text(text)
    return file
