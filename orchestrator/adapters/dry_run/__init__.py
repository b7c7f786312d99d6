"""What a campaign would do, found out on fakes in a process that can reach no instrument."""
