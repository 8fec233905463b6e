"""Jobs in motion: what a model writes, who runs it, what it costs."""
