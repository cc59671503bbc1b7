"""Changes to batches before the model, and to the loss after it, in stated orders."""
