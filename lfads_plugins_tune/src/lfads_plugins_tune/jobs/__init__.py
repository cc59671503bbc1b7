"""Work in processes of its own, for searches and collections alike: what is at work, how it is begun here or on Ray, and how it ends."""
