"""Dysprosium and neodymium from magnets, parted by solvent extraction in eight stages."""
