"""Twin of a fed-batch fermenter that makes penicillin."""
