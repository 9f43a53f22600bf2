"""A fleet of hosts on one machine, with shaped links: ours and what people would use in its place, side by side."""
