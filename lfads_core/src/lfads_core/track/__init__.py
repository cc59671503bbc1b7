"""Where the numbers of a run go: a CSV table always, MLflow when it is there."""
