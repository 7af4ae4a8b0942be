"""On arrays: scores, resampling, paired comparison."""
