"""The real vLLM on a model of random weights: what it says can be read, it ends when told to, it dies and comes back.

Needs an environment with vLLM (`make test-engine`). The modules import nothing of it, so that they can be collected
anywhere.
"""
