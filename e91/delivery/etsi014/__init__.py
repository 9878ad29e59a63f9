"""ETSI GS QKD 014 V1.1.1, the key delivery interface: from a request to a plan to a reply."""
