"""Forms of **b**: shapes of the gain, the forms made of them, and a form with its sizes."""
