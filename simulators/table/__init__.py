"""A twin made from a table of measured data: a header says what its columns are."""
