"""Hugging Face style checkpoints: found, checked, loaded whole or refused, and run frozen."""
