"""Genomes and labelled sets whose generating distribution, and so whose best possible score, is known."""
