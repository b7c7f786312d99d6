"""One file for each kind of measurement: the plan and, beside it, its pure reducer."""
