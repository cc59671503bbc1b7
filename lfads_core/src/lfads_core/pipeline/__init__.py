"""The journey from end to end: read, check, build, train, infer, score, draw; anew, resumed, or adapted to new sessions."""
