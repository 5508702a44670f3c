"""What the build of the documentation makes: reference pages and cheat sheet from the registry, curves, figures, formulas."""
