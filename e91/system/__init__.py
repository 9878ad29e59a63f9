"""The machine underneath: durable files, processes, memory, progress, compiled loops."""
