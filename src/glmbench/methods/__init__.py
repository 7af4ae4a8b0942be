"""How a model meets a task: one verb a module."""
