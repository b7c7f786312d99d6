"""Kills, freezes and cuts off the processes of a real lab, and counts what was lost."""
