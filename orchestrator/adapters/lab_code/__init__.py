"""A lab's own plans and reducers: found by name, and what they ask for."""
