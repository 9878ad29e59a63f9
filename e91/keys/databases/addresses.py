"""Which database an address names."""

from __future__ import annotations

from e91.keys.databases.interface import KeyDatabase
from e91.keys.databases.sqlite import SqliteDatabase


def database_at(address: str, *, kme: str) -> KeyDatabase:
    """Return the store at an address, which is not opened yet.

    Args:
        address: Path of an SQLite file, or ``postgresql://...``.
        kme: Name of the KME; in PostgreSQL its tables stand in a schema of their own.

    Returns:
        An `SqliteDatabase` or a `PostgresDatabase`.

    Raises:
        MissingPackage: The address is of PostgreSQL, and asyncpg is not installed.

    Examples:
        >>> database_at("alice.sqlite", kme="alice")
        SqliteDatabase('alice.sqlite')
    """
    if address.startswith(("postgresql:", "postgres:")):
        from e91.keys.databases.postgresql import PostgresDatabase

        return PostgresDatabase(address, kme=kme)
    return SqliteDatabase(address)
