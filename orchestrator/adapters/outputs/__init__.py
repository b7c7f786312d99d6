"""What people take away: tables, plots, and the report."""
