"""PURE. The safety contract: matchers, vetoes, classify, plan."""
