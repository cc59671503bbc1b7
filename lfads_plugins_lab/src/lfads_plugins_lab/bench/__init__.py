"""How fast is it, and how much memory does it take: the chosen loops, the reference and an eager baseline side by side."""
