"""The people at the door: client sockets, pipelining, timers, tunnels."""
