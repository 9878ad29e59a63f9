"""``e91 call``: its commands, the datagrams, the keys, what goes out and what comes in."""
