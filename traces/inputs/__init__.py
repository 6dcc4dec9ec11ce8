"""What people give as a trace, told apart, and several of them as one."""
