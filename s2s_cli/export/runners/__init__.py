"""Programs that are shipped with exports; each imports only what stands beside it there."""
