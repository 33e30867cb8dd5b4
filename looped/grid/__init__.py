"""A list of trainings worked through: what is asked for, where each stands, where they train."""
