"""Shapes of the gain over b, the forms of the law made of them, and each form fitted."""
