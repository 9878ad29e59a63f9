"""Keys handed to applications: standards without sockets, then HTTP, clients and a probe."""
