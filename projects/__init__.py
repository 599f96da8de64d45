"""Projects: git repositories whose every state can be had again; see docs/projects.md."""
