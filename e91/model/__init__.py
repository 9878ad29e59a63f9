"""The words of the protocol: records, settings, policy, messages, errors.  No Qiskit, no files."""
