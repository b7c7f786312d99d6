"""Pure rules of campaigns, trials and instruments: no input or output, no clock, no randomness."""
