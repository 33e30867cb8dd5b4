"""What the benchmark measures, a module for each part."""
