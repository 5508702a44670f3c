"""Plans: what one checked call of a loss computes, one file per engine. A plan may import `_check`, `_threads`, `_kernels`, its
engine, `base` and `weights`."""
