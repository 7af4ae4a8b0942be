"""A model over a person's own sequences: streaming, any size of input, in bounded memory."""
