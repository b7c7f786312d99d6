"""From documents to outcomes: here, in a child process, or on a Dask cluster."""
