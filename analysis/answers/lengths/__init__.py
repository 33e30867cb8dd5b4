"""Training length as an axis: what every shorter training of the same runs reached."""
