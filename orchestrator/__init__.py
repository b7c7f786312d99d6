"""Labwright's application: a campaign's flow, its ledger, its worker and its faces."""
