"""What each side brings beside its network: loss, optimiser, schedule, loader, preprocessing, metric."""
