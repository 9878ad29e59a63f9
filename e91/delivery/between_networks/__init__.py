"""Keys handed from one network to another: ETSI GS QKD 020 V1.1.1, asynchronous mode."""
