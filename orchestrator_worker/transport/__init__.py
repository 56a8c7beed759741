"""How messages travel between the processes of a fleet, whatever happens to the network, the store or the messages."""
