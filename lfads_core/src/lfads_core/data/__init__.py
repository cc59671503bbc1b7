"""From files to batches: read a session, check it, cut it into batches."""
