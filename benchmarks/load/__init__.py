"""What the load of `benchmarks.delivery` is made with."""
