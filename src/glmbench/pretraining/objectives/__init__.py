"""Objectives: what a network is asked about a batch of tokens. One family a module."""
