"""Engines: compiled loops over a batch, one file per kind of kernel; csrc/ has a folder of the same name. An engine may import
`_kernels`."""
