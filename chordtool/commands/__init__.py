"""Commands: arguments in, one library call, result shown."""
