"""Variables that survive: saving a kernel's session into the chunk store, and bringing it back (docs/state.md)."""
