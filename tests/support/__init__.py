"""What the tests stand on: a leak guard, real process trees by handshake, git repositories, terminals."""
