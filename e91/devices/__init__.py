"""Devices: from the settings of every round to its outcomes.  The only door to Qiskit."""
