"""Which layer is which, and which tensor."""
