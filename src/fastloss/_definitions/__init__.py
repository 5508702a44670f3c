"""What every loss is: its textbook definition in NumPy (`reference`), and random valid input (`samplers`). Not loaded by
`import fastloss`."""
