"""glmbench: pre-train genomic language models and measure what they learned."""
