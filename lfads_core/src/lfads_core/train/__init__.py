"""Training: the step, the loop, checkpoints that survive anything, and when to stop."""
