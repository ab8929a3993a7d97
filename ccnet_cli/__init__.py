"""The commands, one file each: options in, exit code out. All work is in the packages."""
