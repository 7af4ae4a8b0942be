"""Published benchmarks as data: tasks, methods, recipes, budgets, aggregates, published figures."""
