"""What is asked of a model: cards, loaders, splits, budgets and leakage checks."""
