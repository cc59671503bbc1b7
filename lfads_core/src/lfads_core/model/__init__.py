"""The network: read-in, encoders, posterior, decoder, read-out."""
