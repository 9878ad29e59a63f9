"""Key stores of both kinds for the tests of key delivery."""

import pytest
from key_stores import PostgresStores, SqliteStores, postgres_server


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL of these tests alone."""
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def stores(request, tmp_path):
    """Stores that are empty, of either kind."""
    if request.param == "sqlite":
        return SqliteStores(tmp_path)
    return PostgresStores(request.getfixturevalue("postgres").get_uri())
