"""Reasoning at the size of the machine: experiments on additions, each small enough to be repeated with seeds."""
