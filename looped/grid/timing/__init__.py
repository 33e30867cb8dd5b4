"""How long a grid takes: its forecast, what a budget holds, its progress and the time left."""
