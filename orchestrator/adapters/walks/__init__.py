"""Plans walked and not run: their messages, under the guard, on stand-ins or on a twin."""
