"""The commands: one argparse script each, named after what it does."""
