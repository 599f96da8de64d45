"""Regrow beside what exists: `python -m bench` (or `make bench`). How it works is in README.md."""
