"""What follows from a fitted law: exchange rates, what to train, loops far beyond b."""
