"""From outcomes to equal, secret bits: sifting, estimation, reconciliation, amplification."""
