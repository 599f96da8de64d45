"""How a notebook server starts and stops: containers, Swarm services, local processes."""
