"""Where the holdings of a KME are kept: SQLite files and PostgreSQL, behind one interface."""
