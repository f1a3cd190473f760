"""Models on the Hugging Face hub: what is fetched, what is sent, and their cards."""
