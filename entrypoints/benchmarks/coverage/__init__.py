"""How often what is printed holds what was planted: intervals, verdicts, learning or settled.

Each is a program run by hand, and makes a table of the docs: ``default_call`` plants laws and calls
``fit_scaling`` as anybody does, ``given_form`` names the form, ``joint_law`` has sizes that lie off
it, ``claims`` counts wrong verdicts, ``late_slopes`` curves that are called falling.
"""
