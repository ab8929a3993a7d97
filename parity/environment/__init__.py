"""What a comparison runs in: versions, device, and the switches that change numbers; read, set and judged."""
