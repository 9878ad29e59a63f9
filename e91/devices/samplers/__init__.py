"""Any Qiskit sampler as a device, on any backend, checked for its promises."""
