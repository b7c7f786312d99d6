"""Digital twins, one folder for each, and the server that puts them on EPICS."""
