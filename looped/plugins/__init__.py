"""Parts that are not of this package: found by a reference, loaded, and named by their source."""
