"""Arrays of bases in memory, no files: alphabet, encoding, k-mers, order-k Markov models, shuffles."""
