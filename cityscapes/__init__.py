"""Cityscapes: reading it, generating a stand-in, measuring mIoU and how far two frameworks agree on it."""
