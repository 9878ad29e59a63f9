"""One session, from settings to key: the protocol, its verdict, its report, runs of blocks."""
