"""How far is far: one comparison, and the results of many."""
