"""A metric: how often a prediction is within a tenth of y's standard deviation, which is 1."""


def within_tenth(predictions, answers):
    return ((predictions - answers).abs() < 0.1).float()
