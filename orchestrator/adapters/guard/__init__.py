"""What stands between a plan and the devices: each message is looked at before it is obeyed."""
