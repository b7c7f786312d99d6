"""The ledger, on Redis or Valkey and in memory, and the server of our own."""
