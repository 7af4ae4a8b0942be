"""What is asked of: model references, adapters, controls, and the embedding cache."""
