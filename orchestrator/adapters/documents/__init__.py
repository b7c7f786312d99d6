"""Bluesky's documents of an attempt: taken, checked, kept in files, and read again."""
