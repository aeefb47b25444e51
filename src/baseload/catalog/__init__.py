"""What can be bought: offers of tokens, machines, leases. Thinks."""
