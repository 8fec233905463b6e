"""Durable forms of the nouns of core; only `canvas_server.app` opens this wing."""
