"""Files with coordinates: FASTA, memory-mapped codes, windows."""
