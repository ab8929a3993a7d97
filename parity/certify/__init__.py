"""`ccnet-parity certify`: the alignment points of a port, gate by gate, and their certificate."""
