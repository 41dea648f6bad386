"""Work on several processes or machines: files translated in blocks, and Ray."""
