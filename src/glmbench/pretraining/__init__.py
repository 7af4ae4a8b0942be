"""Pre-training: corpus, n-gram statistics, objectives. FASTA in, a Hugging Face style folder out."""
