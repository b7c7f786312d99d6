"""Other processes: children that end with their parent, many runs at once, a cluster's."""
