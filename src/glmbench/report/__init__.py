"""One self-contained page and its figures, from stored results and suites only."""
