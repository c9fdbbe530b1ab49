"""What other programs need to serve an exported model: Ollama, llama.cpp, vLLM, containers, systemd."""
