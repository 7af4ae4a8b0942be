"""Tokenizers: character, k-mer, BPE, unigram. One contract: every token knows the bases it covers."""
