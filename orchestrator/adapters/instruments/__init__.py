"""The devices of an instrument file: found, built, connected, and what they are made of."""
