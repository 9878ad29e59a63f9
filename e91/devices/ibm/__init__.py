"""IBM Quantum machines: choose qubits, submit a job, leave it and come back for it."""
