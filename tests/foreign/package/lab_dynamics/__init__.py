"""Parts of a model by a stranger: an encoder, a generator, a loss and a latent."""
