"""Plan, run, the results store, aggregates and comparison: the only room that joins model, task, method and metric."""
