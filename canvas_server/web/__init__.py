"""Bytes in, bytes out: routes, bodies, server-sent events, problems and the page."""
