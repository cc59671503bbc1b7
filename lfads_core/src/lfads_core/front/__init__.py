"""What a notebook imports: recordings, runs and searches as objects, over the same functions as the command line."""
