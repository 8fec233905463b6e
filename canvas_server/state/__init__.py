"""Living canvases: rooms, the shared log, listeners and checkpoints."""
