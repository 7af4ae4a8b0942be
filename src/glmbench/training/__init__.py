"""The one training loop: batches, precision, early stopping, resume, cost record."""
