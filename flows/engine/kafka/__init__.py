"""Records in and out: `reader` brings those of assigned partitions, `line` writes and is told when they are durable."""
