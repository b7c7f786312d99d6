"""Twin of a flow reactor with an HPLC: aromatic substitution of 2,4-difluoronitrobenzene."""
