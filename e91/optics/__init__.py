"""Light: from pairs per second and decibels to clicks and coincidences.  No Qiskit, no protocol."""
