"""Architectures that checkpoints bring as code of their own, and that run here without it: one module a family."""
