"""From a trained model to rates: posterior averages, samples from the prior, and the files they are kept in."""
