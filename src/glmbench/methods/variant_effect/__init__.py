"""Variant effects: what a model makes of an allele in the place of the reference."""
