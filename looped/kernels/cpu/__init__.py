"""The CPU's kernels: all loops of a model prompt by prompt, in C++ compiled where it runs."""
