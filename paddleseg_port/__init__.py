"""The port inside PaddleSeg: its model, preprocessing and losses, and PaddleSeg's tools as one command."""
