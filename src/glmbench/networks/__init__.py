"""Modules, their configurations and heads; nothing else."""
