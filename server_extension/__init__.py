"""What runs beside the notebook server: the environment of every kernel and terminal."""
