"""PaddleSeg's CCNet held against the official network: what differs, where the harness sees it, and by how much."""
