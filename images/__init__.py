"""Notebook images: their Dockerfiles and `regrow images`."""
