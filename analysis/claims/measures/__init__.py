"""The numbers by seed that claims come to, in bits, by what they are about."""
