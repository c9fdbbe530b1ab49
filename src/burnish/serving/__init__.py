"""Models in use: what is served, what people think of it, and rounds of training that learn from that."""
