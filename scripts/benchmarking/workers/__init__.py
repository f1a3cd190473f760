"""The sides of a comparison, each a process with an interpreter and packages of its own.

What a peer runs imports PyTorch, safetensors and the peer, and nothing of this package.
"""
