"""A long key cut into portions that are reconciled and hashed one by one."""
