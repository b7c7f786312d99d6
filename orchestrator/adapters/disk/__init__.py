"""Files that must outlast a power cut, and whether there is room for them."""
